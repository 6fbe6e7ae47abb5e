import type { Command } from '../command.ts';
import { SERVER_OPTIONS } from '../options.ts';

export const inspect: Command = {
  name: 'inspect',
  summary: 'print the status of containers, pods or images',
  description: 'Prints the verbose CRI status as JSON.',
  arguments: [{ name: 'ID', description: 'id, prefix of an id, or name', variadic: true, kind: 'object' }],
  options: SERVER_OPTIONS,
  async run(context, input) {
    const { connectServer } = await import('../client/connect.ts');
    const { inspectObject } = await import('../client/inspect.ts');
    using server = await connectServer(context, input);
    for (const word of input.args) await inspectObject(context, server, word);
    return 0;
  },
};
