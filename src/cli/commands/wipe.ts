import type { Command } from '../command.ts';
import { CONFIG_FLAG_OPTIONS, CONFIG_OPTION, configFlags } from '../options.ts';

export const wipe: Command = {
  name: 'wipe',
  summary: 'remove every pod, container and image of a stopped server',
  description:
    'Stops and removes everything of the server in its root and state directories, and the directories: pods with ' +
    'their networks and cgroups, containers, images. Logs, the configuration, and other files or mounts in them ' +
    'stay. Fails while a server uses the directories, and for a root directory of another program.',
  options: [
    { name: 'force', description: 'remove them; without it, only their number is printed' },
    CONFIG_OPTION,
    ...CONFIG_FLAG_OPTIONS,
  ],
  examples: ['wipe --force', 'wipe --force --root /tmp/try/root --state /tmp/try/state'],
  readsConfiguration: true,
  async run(context, input) {
    const [{ loadConfig }, { countRecords }, { isRootTaken }, { checkRoot }] = await Promise.all([
      import('../../core/config/load.ts'),
      import('../wipe/count-records.ts'),
      import('../../host/root-claim.ts'),
      import('../../host/root-marker.ts'),
    ]);
    const { config } = await loadConfig({ file: input.text('config'), flags: configFlags(input) });
    if ((await checkRoot(config.root)) === 'empty') {
      context.stdout.write(`Nothing to remove: ${config.root} has no data of the server\n`);
      return 0;
    }
    if (await isRootTaken(config.root)) throw new Error(`${config.root} is in use by a running server; stop it first`);
    const { pods, containers, images } = await countRecords(config.root);
    const amount = `${String(pods)} pods, ${String(containers)} containers and ${String(images)} images`;
    if (!input.has('force')) {
      throw new Error(`${config.root} and ${config.state} have ${amount}; use --force to remove them permanently`);
    }
    const left = await context.wipe(config);
    context.stdout.write(`Removed ${amount} with ${config.root} and ${config.state}\n`);
    for (const path of left) context.stdout.write(`Kept ${path}: it does not belong to the server\n`);
    return 0;
  },
};
