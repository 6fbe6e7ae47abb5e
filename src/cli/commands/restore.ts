import type { Command } from '../command.ts';
import { OUTPUT_OPTION, SERVER_OPTIONS } from '../options.ts';

export const restore: Command = {
  name: 'restore',
  summary: 'take the files of a container back to a snapshot',
  description:
    'A running container is frozen meanwhile, and continues with what it has in memory. Volumes stay as they are. Requires ZFS. Prints ' +
    'the name of the snapshot.',
  arguments: [
    { name: 'CONTAINER', description: 'id, prefix of an id, or name', kind: 'container' },
    { name: 'NAME', description: 'name of the snapshot (default: the latest checkpoint)', optional: true },
  ],
  options: [
    { name: 'discard-newer', description: 'remove the snapshots that are newer' },
    { name: 'force', short: 'f', description: 'also while processes have files mapped for writing' },
    OUTPUT_OPTION,
    ...SERVER_OPTIONS,
  ],
  examples: ['restore web', 'restore --discard-newer web before-upgrade'],
  async run(context, input) {
    const { connectServer } = await import('../client/connect.ts');
    const { restoreSnapshot } = await import('../client/snapshots.ts');
    using server = await connectServer(context, input);
    await restoreSnapshot(context, server, input);
    return 0;
  },
};
