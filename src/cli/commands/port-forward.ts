import type { Command } from '../command.ts';
import { SERVER_OPTIONS } from '../options.ts';

export const portForward: Command = {
  name: 'port-forward',
  summary: 'forward local ports to ports of a pod',
  description: 'Runs until SIGINT or SIGTERM. ":80" uses a free local port, which is printed.',
  arguments: [
    { name: 'POD', description: 'id, prefix of an id, or name', kind: 'pod' },
    { name: '[LOCAL:]PORT', description: 'local port and port of the pod', variadic: true },
  ],
  options: [
    { name: 'bind', value: 'ADDRESS', description: 'local address to listen on (default 127.0.0.1)' },
    ...SERVER_OPTIONS,
  ],
  examples: ['port-forward web 8080:80', 'port-forward web :80 :443'],
  async run(context, input) {
    const { connectServer } = await import('../client/connect.ts');
    const { forwardPorts } = await import('../client/port-forward.ts');
    using server = await connectServer(context, input);
    await forwardPorts(context, server, input);
    return 0;
  },
};
