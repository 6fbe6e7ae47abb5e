import type { Command } from '../command.ts';
import { SERVER_OPTIONS } from '../options.ts';

export const exec: Command = {
  name: 'exec',
  summary: 'run a command in a running container and wait for it',
  description:
    'Prints the output when the command has ended, and exits with its exit code. It has no standard input and no terminal.',
  arguments: [
    { name: 'CONTAINER', description: 'id, beginning of an id, or name', kind: 'container' },
    { name: 'COMMAND', description: 'what to run', variadic: true },
  ],
  passThrough: true,
  options: [
    { name: 'timeout', value: 'SECONDS', description: 'kill the command then (default: never)' },
    ...SERVER_OPTIONS,
  ],
  examples: ['exec web -- cat /etc/hostname'],
  async run(context, input) {
    const { connectServer } = await import('../client/connect.ts');
    const { execSync } = await import('../client/exec-sync.ts');
    using server = await connectServer(input);
    return await execSync(context, server, input);
  },
};
