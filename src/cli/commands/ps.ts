import type { Command } from '../command.ts';
import { LIST_OPTIONS, NAMES_OPTION } from '../options.ts';

export const ps: Command = {
  name: 'ps',
  summary: 'list containers',
  options: [
    { name: 'all', short: 'a', description: 'include containers that are not running' },
    NAMES_OPTION,
    ...LIST_OPTIONS,
  ],
  async run(context, input) {
    const { connectServer } = await import('../client/connect.ts');
    const { listContainers } = await import('../client/containers.ts');
    using server = await connectServer(context, input);
    await listContainers(context, server, input);
    return 0;
  },
};
