import type { Command } from '../command.ts';
import { SERVER_OPTIONS } from '../options.ts';

export const inspect: Command = {
  name: 'inspect',
  summary: 'print all that is known of containers, pods or images',
  description: 'Prints JSON, as the CRI gives it, with the verbose information.',
  arguments: [{ name: 'ID', description: 'id, beginning of an id, or name', variadic: true, kind: 'object' }],
  options: SERVER_OPTIONS,
  async run(context, input) {
    const { connectServer } = await import('../client/connect.ts');
    const { inspectObject } = await import('../client/inspect.ts');
    using server = await connectServer(context, input);
    for (const word of input.args) await inspectObject(context, server, word);
    return 0;
  },
};
