import type { Command } from '../command.ts';
import { SERVER_OPTIONS } from '../options.ts';

export const rmi: Command = {
  name: 'rmi',
  summary: 'remove images',
  description: 'Removes an image with all its names.',
  arguments: [{ name: 'IMAGE', description: 'name or id', variadic: true, kind: 'image' }],
  options: SERVER_OPTIONS,
  async run(context, input) {
    const { connectServer } = await import('../client/connect.ts');
    const { removeImages } = await import('../client/images.ts');
    using server = await connectServer(context, input);
    await removeImages(context, server, input.args);
    return 0;
  },
};
