import { existsSync } from 'node:fs';
import type { Command } from '../command.ts';
import { CONFIG_FLAG_OPTIONS, CONFIG_OPTION, configFlags } from '../options.ts';

export const wipe: Command = {
  name: 'wipe',
  summary: 'remove every pod, container and image of a server that does not run',
  description:
    'Ends and removes all that the server has in its root and state folders, and the folders themselves: pods with their ' +
    'networks and cgroups, containers, images. Logs and the configuration stay. Refuses while a server uses the folders.',
  options: [
    { name: 'force', description: 'do it; without, it only tells how much there is' },
    CONFIG_OPTION,
    ...CONFIG_FLAG_OPTIONS,
  ],
  examples: ['wipe --force', 'wipe --force --root /tmp/try/root --state /tmp/try/state'],
  readsConfiguration: true,
  async run(context, input) {
    const [{ loadConfig }, { countRecords }, { isRootTaken }] = await Promise.all([
      import('../../core/config/load.ts'),
      import('../wipe/count-records.ts'),
      import('../../host/root-guard.ts'),
    ]);
    const { config } = await loadConfig({ file: input.text('config'), flags: configFlags(input) });
    if (await isRootTaken(config.root)) {
      throw new Error(`a server uses ${config.root}: stop it first (systemctl stop proxmox-lxcri)`);
    }
    const { pods, containers, images } = await countRecords(config.root);
    if (pods + containers + images === 0 && !existsSync(config.root) && !existsSync(config.state)) {
      context.stdout.write(`There is nothing to remove: neither ${config.root} nor ${config.state} exists\n`);
      return 0;
    }
    const amount = `${String(pods)} pods, ${String(containers)} containers and ${String(images)} images`;
    if (!input.has('force')) {
      throw new Error(`${config.root} and ${config.state} hold ${amount}: say --force to remove all of it for good`);
    }
    await context.wipe(config);
    context.stdout.write(`Removed ${amount} with ${config.root} and ${config.state}\n`);
    return 0;
  },
};
