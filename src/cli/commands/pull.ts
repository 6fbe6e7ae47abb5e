import type { Command } from '../command.ts';
import { SERVER_OPTIONS } from '../options.ts';

export const pull: Command = {
  name: 'pull',
  summary: 'pull an image from its registry',
  description:
    'Prints the id of each image. The progress of its layers goes to standard error: on a terminal a line each that is ' +
    'redrawn, elsewhere a line for each that is complete. Ctrl-C cancels the pull.',
  arguments: [{ name: 'IMAGE', description: 'name of the image, or its address in a BFC file', variadic: true }],
  options: [{ name: 'quiet', short: 'q', description: 'print ids only, no progress' }, ...SERVER_OPTIONS],
  examples: ['pull docker.io/library/busybox:latest'],
  async run(context, input) {
    const { connectServer } = await import('../client/connect.ts');
    const { pullImages } = await import('../client/images.ts');
    using server = await connectServer(context, input);
    await pullImages(context, server, input);
    return 0;
  },
};
