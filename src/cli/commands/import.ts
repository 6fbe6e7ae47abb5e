import type { Command } from '../command.ts';
import { OUTPUT_OPTION, SERVER_OPTIONS } from '../options.ts';

export const importCommand: Command = {
  name: 'import',
  summary: 'import images from a file or directory',
  description:
    'Reads OCI image layouts, oci-archives, docker-archives and tarballs of root filesystems (Proxmox VE templates). The path is on the host of the server.',
  arguments: [{ name: 'PATH', description: 'archive or layout', kind: 'file' }],
  options: [
    { name: 'name', value: 'REFERENCE', description: 'name of the image (default: the names in the archive)' },
    OUTPUT_OPTION,
    ...SERVER_OPTIONS,
  ],
  examples: ['import busybox.tar --name localhost/busybox:test'],
  async run(context, input) {
    const { connectServer } = await import('../client/connect.ts');
    const { importImages } = await import('../client/images.ts');
    using server = await connectServer(context, input);
    await importImages(context, server, input);
    return 0;
  },
};
