import type { Command } from '../command.ts';
import { CONFIG_FLAG_OPTIONS, CONFIG_OPTION, configFlags } from '../options.ts';

export const serve: Command = {
  name: 'serve',
  summary: 'run the server in the foreground',
  description:
    'Serves CRI until SIGTERM or SIGINT; containers keep running without it. SIGHUP reloads log.level of the configuration ' +
    'files. The options override keys of the configuration.',
  options: [CONFIG_OPTION, ...CONFIG_FLAG_OPTIONS],
  examples: ['serve', 'serve --root /tmp/try/root --state /tmp/try/state --listen unix:///tmp/try/cri.sock'],
  readsConfiguration: true,
  async run(context, input) {
    const { loadConfig } = await import('../../core/config/load.ts');
    const load = () => loadConfig({ file: input.text('config'), flags: configFlags(input) });
    const { config, files } = await load();
    await context.serve({ config, files, reload: async () => (await load()).config });
    return 0;
  },
};
