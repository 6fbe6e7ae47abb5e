import type { Command } from '../command.ts';
import { OUTPUT_OPTION, SERVER_OPTIONS } from '../options.ts';

export const snapshots: Command = {
  name: 'snapshots',
  summary: 'list the snapshots of a container',
  description: 'The oldest first, those of operators and other programs too. Requires ZFS.',
  arguments: [{ name: 'CONTAINER', description: 'id, prefix of an id, or name', kind: 'container' }],
  options: [OUTPUT_OPTION, { name: 'quiet', short: 'q', description: 'print names only' }, ...SERVER_OPTIONS],
  async run(context, input) {
    const { connectServer } = await import('../client/connect.ts');
    const { listSnapshots } = await import('../client/snapshots.ts');
    using server = await connectServer(context, input);
    await listSnapshots(context, server, input);
    return 0;
  },
};
