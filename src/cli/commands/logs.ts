import type { Command } from '../command.ts';
import { SERVER_OPTIONS } from '../options.ts';

export const logs: Command = {
  name: 'logs',
  summary: 'print the log of a container',
  description: "Reads the container's log file, which is on the host of the server.",
  arguments: [{ name: 'CONTAINER', description: 'id, prefix of an id, or name', kind: 'container' }],
  options: [
    { name: 'follow', short: 'f', description: 'follow the log until the container exits' },
    { name: 'timestamps', short: 't', description: 'print the time of each line' },
    ...SERVER_OPTIONS,
  ],
  async run(context, input) {
    const { connectServer } = await import('../client/connect.ts');
    const { printContainerLog } = await import('../client/container-log.ts');
    using server = await connectServer(context, input);
    await printContainerLog(context, server, input);
    return 0;
  },
};
