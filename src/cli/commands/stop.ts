import type { Command } from '../command.ts';
import { SERVER_OPTIONS } from '../options.ts';

export const stop: Command = {
  name: 'stop',
  summary: 'stop containers or pods',
  arguments: [{ name: 'ID', description: 'id, prefix of an id, or name', variadic: true, kind: 'object' }],
  options: [
    {
      name: 'timeout',
      short: 't',
      value: 'SECONDS',
      description: 'grace period before a container is killed (default 10)',
    },
    ...SERVER_OPTIONS,
  ],
  async run(context, input) {
    const { connectServer } = await import('../client/connect.ts');
    const { stopObjects } = await import('../client/end.ts');
    using server = await connectServer(context, input);
    await stopObjects(context, server, input);
    return 0;
  },
};
