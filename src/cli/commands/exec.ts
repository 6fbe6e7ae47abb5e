import type { Command } from '../command.ts';
import { exitCodeOf } from '../exit-code.ts';
import { SERVER_OPTIONS } from '../options.ts';

export const exec: Command = {
  name: 'exec',
  summary: 'run a command in a running container and wait for it',
  description:
    'Prints its output and exits with its exit code: 128 plus the number of the signal that killed it, 127 when the program ' +
    'does not exist, 126 when it cannot be executed, 125 when the RPC failed. When this client exits, so does the command.',
  arguments: [
    { name: 'CONTAINER', description: 'id, prefix of an id, or name', kind: 'container' },
    { name: 'COMMAND', description: 'command and arguments', variadic: true },
  ],
  passThrough: true,
  options: [
    { name: 'interactive', short: 'i', description: 'forward standard input' },
    { name: 'tty', short: 't', description: 'allocate a terminal' },
    {
      name: 'timeout',
      value: 'SECONDS',
      description: 'kill the command after this time (default: never); without input, and with output at the end only',
    },
    ...SERVER_OPTIONS,
  ],
  examples: ['exec web -- cat /etc/hostname', 'exec -it web sh', 'exec -i web -- tar x -C /srv < files.tar'],
  exitCodeOf,
  async run(context, input) {
    const { connectServer } = await import('../client/connect.ts');
    const { execCommand } = await import('../client/exec.ts');
    using server = await connectServer(context, input);
    return await execCommand(context, server, input);
  },
};
