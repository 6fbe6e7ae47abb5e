import type { Command } from '../command.ts';
import { OUTPUT_OPTION, SERVER_OPTIONS } from '../options.ts';

export const checkpoint: Command = {
  name: 'checkpoint',
  summary: 'freeze a container for a snapshot of its files',
  description:
    'Freezes the container, writes its files to disk, makes the snapshot checkpoint-TIME and continues it. Removes old ' +
    'checkpoints. The state of the processes is no part of it, nor are volumes. Requires ZFS. Prints the name.',
  arguments: [{ name: 'CONTAINER', description: 'id, prefix of an id, or name', kind: 'container' }],
  options: [
    {
      name: 'keep-count',
      value: 'NUMBER',
      description: 'checkpoints to keep, 0: all (default rootfs.checkpoint_keep_count)',
    },
    {
      name: 'keep-days',
      value: 'DAYS',
      description: 'days to keep them, 0: for ever (default rootfs.checkpoint_keep_days)',
    },
    OUTPUT_OPTION,
    ...SERVER_OPTIONS,
  ],
  async run(context, input) {
    const { connectServer } = await import('../client/connect.ts');
    const { makeCheckpoint } = await import('../client/snapshots.ts');
    using server = await connectServer(context, input);
    await makeCheckpoint(context, server, input);
    return 0;
  },
};
