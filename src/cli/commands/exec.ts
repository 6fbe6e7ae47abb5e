import type { Command } from '../command.ts';
import { exitCodeOf } from '../exit-code.ts';
import { SERVER_OPTIONS } from '../options.ts';

export const exec: Command = {
  name: 'exec',
  summary: 'run a command in a running container and wait for it',
  description:
    'Passes its output on and exits with its exit code: 128 plus the number of a signal that ended it, 127 when there is ' +
    'no such program, 126 when it cannot be executed, 125 when the call failed. The command ends with this one.',
  arguments: [
    { name: 'CONTAINER', description: 'id, beginning of an id, or name', kind: 'container' },
    { name: 'COMMAND', description: 'what to run', variadic: true },
  ],
  passThrough: true,
  options: [
    { name: 'interactive', short: 'i', description: 'pass standard input on' },
    { name: 'tty', short: 't', description: 'give it a terminal' },
    {
      name: 'timeout',
      value: 'SECONDS',
      description: 'kill the command then (default: never); it has no input, and its output comes in the end',
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
