import type { Command } from '../command.ts';
import { LIST_OPTIONS } from '../options.ts';

export const pods: Command = {
  name: 'pods',
  summary: 'list pod sandboxes',
  options: LIST_OPTIONS,
  async run(context, input) {
    const { connectServer } = await import('../client/connect.ts');
    const { listPods } = await import('../client/pods.ts');
    using server = await connectServer(input);
    await listPods(context, server, input);
    return 0;
  },
};
