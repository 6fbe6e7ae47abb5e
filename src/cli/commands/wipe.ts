import type { Command } from '../command.ts';
import { CONFIG_FLAG_OPTIONS, CONFIG_OPTION, configFlags } from '../options.ts';

export const wipe: Command = {
  name: 'wipe',
  summary: 'remove every pod, container and image of a server that does not run',
  description:
    'Ends and removes all that the server has in its root and state directories, and the directories themselves: pods with ' +
    'their networks and cgroups, containers, images. Logs, the configuration, and whatever else lies or is mounted there ' +
    "stay. Refuses while a server uses the directories, and a root that is not the server's.",
  options: [
    { name: 'force', description: 'do it; without, it only tells how much there is' },
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
      context.stdout.write(`Nothing to remove: ${config.root} holds no data of the server\n`);
      return 0;
    }
    if (await isRootTaken(config.root)) throw new Error(`a server uses ${config.root}: stop it first`);
    const { pods, containers, images } = await countRecords(config.root);
    const amount = `${String(pods)} pods, ${String(containers)} containers and ${String(images)} images`;
    if (!input.has('force')) {
      throw new Error(`${config.root} and ${config.state} hold ${amount}: say --force to remove all of it for good`);
    }
    const left = await context.wipe(config);
    context.stdout.write(`Removed ${amount} with ${config.root} and ${config.state}\n`);
    for (const path of left) context.stdout.write(`Left ${path}: not the server's\n`);
    return 0;
  },
};
