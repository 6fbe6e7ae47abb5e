import type { Command } from '../command.ts';
import { SERVER_OPTIONS } from '../options.ts';

export const pull: Command = {
  name: 'pull',
  summary: 'pull an image from its registry',
  description: 'Prints the id of each image.',
  arguments: [{ name: 'IMAGE', description: 'name of the image', variadic: true }],
  options: SERVER_OPTIONS,
  examples: ['pull docker.io/library/busybox:latest'],
  async run(context, input) {
    const { connectServer } = await import('../client/connect.ts');
    const { pullImages } = await import('../client/images.ts');
    using server = await connectServer(context, input);
    await pullImages(context, server, input.args);
    return 0;
  },
};
