import type { Command } from '../command.ts';
import { OUTPUT_OPTION, SERVER_OPTIONS } from '../options.ts';

export const snapshot: Command = {
  name: 'snapshot',
  summary: 'make a snapshot of the files of a container',
  description:
    'The container runs on: its files are as if it had been killed. Volumes are no part of a snapshot. Requires ZFS. Prints the name.',
  arguments: [
    { name: 'CONTAINER', description: 'id, prefix of an id, or name', kind: 'container' },
    { name: 'NAME', description: 'name of the snapshot (default: snapshot-TIME)', optional: true },
  ],
  options: [{ name: 'remove', description: 'remove the snapshot NAME instead' }, OUTPUT_OPTION, ...SERVER_OPTIONS],
  examples: ['snapshot web before-upgrade', 'snapshot --remove web before-upgrade'],
  async run(context, input) {
    const { connectServer } = await import('../client/connect.ts');
    const { makeSnapshot, removeSnapshot } = await import('../client/snapshots.ts');
    using server = await connectServer(context, input);
    await (input.has('remove') ? removeSnapshot : makeSnapshot)(context, server, input);
    return 0;
  },
};
