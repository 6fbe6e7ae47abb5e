import type { Command } from '../command.ts';

const pack: Command = {
  name: 'pack',
  summary: 'write images or files into a BFC file',
  description:
    'Reads what "import" reads: an OCI image layout, an oci-archive (also one of "export"), a docker-archive or a tarball of a root ' +
    'filesystem, of which the images for this machine are taken. Of another directory all files are packed. The server is not needed. Layers keep their digests. FILE gets its ' +
    'name when it is complete; an interrupted command leaves nothing.',
  arguments: [
    { name: 'SOURCE', description: 'archive, layout or directory', kind: 'file' },
    { name: 'FILE', description: 'BFC file to write', kind: 'file' },
  ],
  options: [
    { name: 'name', value: 'REFERENCE', description: 'name of the image (default: the names in SOURCE)' },
    { name: 'key-file', value: 'PATH', description: 'encrypt with the first 32 bytes of this file', kind: 'file' },
    { name: 'password-file', value: 'PATH', description: 'encrypt with the password in this file', kind: 'file' },
    { name: 'level', value: 'LEVEL', description: 'compression level of zstd, 1 to 22; 0: none (default 3)' },
    { name: 'force', short: 'f', description: 'replace FILE' },
    { name: 'json', description: 'print the result as JSON' },
  ],
  examples: ['bfc pack busybox.tar busybox.bfc --key-file bfc.key'],
  async run(context, input) {
    const { packFile } = await import('../bfc/pack.ts');
    await packFile(context, input);
    return 0;
  },
};

export const bfc: Command = {
  name: 'bfc',
  summary: 'work with BFC files',
  description: 'Images in one file, compressed and encrypted, for nodes without a registry.',
  commands: [pack],
};
