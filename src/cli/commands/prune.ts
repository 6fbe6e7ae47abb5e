import type { Command } from '../command.ts';
import { OUTPUT_OPTION, SERVER_OPTIONS } from '../options.ts';

export const prune: Command = {
  name: 'prune',
  summary: 'remove the images that no container uses',
  description: 'Keeps pinned images (images.pinned). Prints the ids of removed images.',
  options: [OUTPUT_OPTION, ...SERVER_OPTIONS],
  async run(context, input) {
    const { connectServer } = await import('../client/connect.ts');
    const { pruneImages } = await import('../client/images.ts');
    using server = await connectServer(context, input);
    await pruneImages(context, server, input);
    return 0;
  },
};
