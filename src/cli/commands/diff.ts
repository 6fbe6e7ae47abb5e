import type { Command } from '../command.ts';
import { OUTPUT_OPTION, SERVER_OPTIONS } from '../options.ts';

export const diff: Command = {
  name: 'diff',
  summary: 'show what a container has changed against its image',
  description:
    'A line each: A for what it has added, C for what it has changed, a directory with a change in it among them, and D for ' +
    'what it has deleted. Volumes are not part of it. In names, "\\xff" is a byte that is no UTF-8, and "\\\\" a backslash.',
  arguments: [{ name: 'CONTAINER', description: 'name or id, also a prefix', kind: 'container' }],
  options: [OUTPUT_OPTION, ...SERVER_OPTIONS],
  examples: ['diff web', 'diff web -o json'],
  async run(context, input) {
    const { connectServer } = await import('../client/connect.ts');
    const { showDiff } = await import('../transfer/diff.ts');
    using server = await connectServer(context, input);
    await showDiff(context, server, input);
    return 0;
  },
};
