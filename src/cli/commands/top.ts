import type { Command } from '../command.ts';
import { SERVER_OPTIONS } from '../options.ts';

export const top: Command = {
  name: 'top',
  summary: 'list the processes of a container',
  description: 'Reads /proc of the node, on the host of the server: the image needs no ps.',
  arguments: [{ name: 'CONTAINER', description: 'id, prefix of an id, or name', kind: 'container' }],
  options: SERVER_OPTIONS,
  async run(context, input) {
    const { connectServer } = await import('../client/connect.ts');
    const { showProcesses } = await import('../client/top.ts');
    using server = await connectServer(context, input);
    await showProcesses(context, server, input);
    return 0;
  },
};
