import type { Command } from '../command.ts';
import { CONFIG_FLAG_OPTIONS, CONFIG_OPTION, configFlags } from '../options.ts';

const options = [CONFIG_OPTION, ...CONFIG_FLAG_OPTIONS];

const printDefault: Command = {
  name: 'default',
  summary: 'print a commented configuration file with every default',
  examples: ['config default > /etc/proxmox-lxcri/config.toml'],
  readsConfiguration: true,
  async run(context) {
    const { defaultConfigToml } = await import('../../core/config/render.ts');
    context.stdout.write(defaultConfigToml());
    return 0;
  },
};

const check: Command = {
  name: 'check',
  summary: 'validate the configuration',
  description: 'Exits with 0 when it is valid, else with 1 and one line per problem.',
  options,
  readsConfiguration: true,
  async run(context, input) {
    const { loadConfig } = await import('../../core/config/load.ts');
    const { files } = await loadConfig({ file: input.text('config'), flags: configFlags(input) });
    const read = files.length === 0 ? 'no file, all defaults' : files.join(', ');
    context.stdout.write(`The configuration is valid (${read})\n`);
    return 0;
  },
};

const dump: Command = {
  name: 'dump',
  summary: 'print the effective configuration, all files merged',
  description:
    'Comments name the store of root filesystems that a start of the server on this node chooses, and its dataset.',
  options,
  readsConfiguration: true,
  async run(context, input) {
    const [{ loadConfig }, { dumpConfigToml }] = await Promise.all([
      import('../../core/config/load.ts'),
      import('../../core/config/render.ts'),
    ]);
    const { config } = await loadConfig({ file: input.text('config'), flags: configFlags(input) });
    context.stdout.write(dumpConfigToml(config, await context.rootfsNotes(config)));
    return 0;
  },
};

export const config: Command = {
  name: 'config',
  summary: 'print or validate the configuration',
  commands: [printDefault, check, dump],
};
