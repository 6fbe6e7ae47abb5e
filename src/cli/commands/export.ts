import type { Command } from '../command.ts';
import { OUTPUT_OPTION, SERVER_OPTIONS } from '../options.ts';

export const exportCommand: Command = {
  name: 'export',
  summary: 'write an image to a file',
  description:
    'Writes an oci-archive with all files of the image in one layer, for import, podman and skopeo. The path is on the host of the server; the file must not exist.',
  arguments: [
    { name: 'IMAGE', description: 'name or id', kind: 'image' },
    { name: 'PATH', description: 'file to write', kind: 'file' },
  ],
  options: [OUTPUT_OPTION, ...SERVER_OPTIONS],
  examples: ['export docker.io/library/busybox:latest busybox.tar'],
  async run(context, input) {
    const { connectServer } = await import('../client/connect.ts');
    const { exportImage } = await import('../client/images.ts');
    using server = await connectServer(context, input);
    await exportImage(context, server, input);
    return 0;
  },
};
