import type { Command } from '../command.ts';
import { SERVER_OPTIONS } from '../options.ts';

export const rm: Command = {
  name: 'rm',
  summary: 'remove containers or pods',
  description: 'Removes a pod with its containers. Running ones require --force.',
  arguments: [{ name: 'ID', description: 'id, prefix of an id, or name', variadic: true, kind: 'object' }],
  options: [{ name: 'force', short: 'f', description: 'stop running ones first' }, ...SERVER_OPTIONS],
  async run(context, input) {
    const { connectServer } = await import('../client/connect.ts');
    const { removeObjects } = await import('../client/end.ts');
    using server = await connectServer(context, input);
    await removeObjects(context, server, input);
    return 0;
  },
};
