import type { Command } from '../command.ts';
import { FORMAT_OPTION, NO_TRUNC_OPTION, SERVER_OPTIONS } from '../options.ts';

export const stats: Command = {
  name: 'stats',
  summary: 'show the CPU, memory and disk usage of containers',
  description:
    'CPU is the percentage of one CPU over the last second, memory the working set, written the bytes that it wrote to ' +
    'disk. Runs until SIGINT or SIGTERM; JSON is then one line per second.',
  arguments: [
    {
      name: 'CONTAINER',
      description: 'id, prefix of an id, or name (default: all running containers)',
      optional: true,
      variadic: true,
      kind: 'container',
    },
  ],
  options: [
    { name: 'no-stream', description: 'print one sample and exit' },
    FORMAT_OPTION,
    NO_TRUNC_OPTION,
    ...SERVER_OPTIONS,
  ],
  examples: ['stats', 'stats --no-stream --format json web'],
  async run(context, input) {
    const { connectServer } = await import('../client/connect.ts');
    const { showStats } = await import('../client/stats.ts');
    using server = await connectServer(context, input);
    await showStats(context, server, input);
    return 0;
  },
};
