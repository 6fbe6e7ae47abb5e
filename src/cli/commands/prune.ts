import type { Command } from '../command.ts';
import { OUTPUT_OPTION, SERVER_OPTIONS } from '../options.ts';

export const prune: Command = {
  name: 'prune',
  summary: 'remove the images that no container uses',
  description:
    'Keeps pinned images (images.pinned). Prints the ids of removed images. With --dry-run, prints the images that would be ' +
    'removed, the space that this would free, and what else of the server is left behind: layers that no image has, root ' +
    'filesystems and volumes without a container, and what was removed while a process used it.',
  options: [{ name: 'dry-run', description: 'change nothing' }, OUTPUT_OPTION, ...SERVER_OPTIONS],
  async run(context, input) {
    const { connectServer } = await import('../client/connect.ts');
    const { pruneImages } = await import('../client/images.ts');
    using server = await connectServer(context, input);
    await pruneImages(context, server, input);
    return 0;
  },
};
