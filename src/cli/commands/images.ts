import type { Command } from '../command.ts';
import { LIST_OPTIONS, NAMES_OPTION } from '../options.ts';

export const images: Command = {
  name: 'images',
  summary: 'list images',
  options: [
    NAMES_OPTION,
    { name: 'digests', description: 'show the repository digest of each image' },
    ...LIST_OPTIONS,
  ],
  async run(context, input) {
    const { connectServer } = await import('../client/connect.ts');
    const { listImages } = await import('../client/images.ts');
    using server = await connectServer(context, input);
    await listImages(context, server, input);
    return 0;
  },
};
