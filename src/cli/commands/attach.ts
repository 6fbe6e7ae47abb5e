import type { Command } from '../command.ts';
import { exitCodeOf } from '../exit-code.ts';
import { DETACH_KEYS_OPTION, SERVER_OPTIONS } from '../options.ts';

export const attach: Command = {
  name: 'attach',
  summary: "connect to a running container's input and output",
  description:
    'Runs until the container exits, and exits with its exit code, or until the detach keys are typed. It shows only new ' +
    'output; use "logs" for earlier output.',
  arguments: [{ name: 'CONTAINER', description: 'id, prefix of an id, or name', kind: 'container' }],
  options: [{ name: 'no-stdin', description: 'output only' }, DETACH_KEYS_OPTION, ...SERVER_OPTIONS],
  exitCodeOf,
  async run(context, input) {
    const { connectServer } = await import('../client/connect.ts');
    const { attachContainer } = await import('../client/attach.ts');
    using server = await connectServer(context, input);
    return await attachContainer(context, server, input);
  },
};
