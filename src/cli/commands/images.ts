import type { Command } from '../command.ts';
import { LIST_OPTIONS } from '../options.ts';

export const images: Command = {
  name: 'images',
  summary: 'list images',
  options: [
    { name: 'names', description: 'print names only' },
    { name: 'digests', description: 'show the digest by which each image can be pulled again' },
    ...LIST_OPTIONS,
  ],
  async run(context, input) {
    const { connectServer } = await import('../client/connect.ts');
    const { listImages } = await import('../client/images.ts');
    using server = await connectServer(input);
    await listImages(context, server, input);
    return 0;
  },
};
