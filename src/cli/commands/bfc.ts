import { ASK_PASSWORD_OPTION, secretOptions } from '../bfc/options.ts';
import type { Command, CommandOption } from '../command.ts';
import { SERVER_OPTIONS } from '../options.ts';

const FILE = { name: 'FILE', description: 'BFC file', kind: 'file' } as const;
const TARGET = { name: 'FILE', description: 'BFC file to write', kind: 'file' } as const;
const JSON_OPTION: CommandOption = { name: 'json', description: 'print the result as JSON' };
const OPEN_OPTIONS = secretOptions('open with');
/** Of commands that write a file. */
const WRITE_OPTIONS: readonly CommandOption[] = [
  ...secretOptions('encrypt with'),
  ASK_PASSWORD_OPTION,
  { name: 'level', value: 'LEVEL', description: 'compression level of zstd, 1 to 22; 0: none (default 3)' },
  { name: 'force', short: 'f', description: 'replace FILE' },
  JSON_OPTION,
];

const pack: Command = {
  name: 'pack',
  summary: 'write images or files into a BFC file',
  description:
    'Reads what "import" reads: an OCI image layout, an oci-archive (also one of "export"), a docker-archive or a tarball of a root ' +
    'filesystem, of which the images for this machine are taken. Of another directory all files are packed. Of a BFC file all entries are ' +
    'packed again, decrypted and encrypted as the options say: with --force also into itself. What is no file is an image of the server, as in ' +
    '"bfc export"; for all else the server is not needed. Layers keep their digests. An archive of images is extracted into TMPDIR, else /var/tmp, meanwhile. FILE gets its name when it is complete; an interrupted command leaves nothing.',
  arguments: [{ name: 'SOURCE', description: 'archive, layout, BFC file, directory or image', kind: 'file' }, TARGET],
  options: [
    { name: 'image', value: 'NAME', description: 'of a BFC file, only the image of this name or digest' },
    { name: 'name', value: 'REFERENCE', description: 'name of the image (default: the names in SOURCE)' },
    ...WRITE_OPTIONS,
    ...secretOptions('open SOURCE with', 'source-'),
    ...SERVER_OPTIONS,
  ],
  examples: [
    'bfc pack busybox.tar busybox.bfc --key-file bfc.key',
    'bfc pack images.bfc images.bfc --force --source-key-file old.key --key-file new.key',
  ],
  async run(context, input) {
    const { packFile } = await import('../bfc/pack.ts');
    await packFile(context, input);
    return 0;
  },
};

const unpack: Command = {
  name: 'unpack',
  summary: 'unpack a BFC file into a directory',
  description:
    'DIRECTORY is created, or has nothing that FILE brings. Every byte is checked before anything gets its name, nothing is written outside of ' +
    'DIRECTORY, and a failed or interrupted command leaves nothing. Set-user-ID bits are dropped; owners are not in BFC files. ' +
    'With --image, DIRECTORY becomes an OCI image layout of that image.',
  arguments: [FILE, { name: 'DIRECTORY', description: 'where to', kind: 'file' }],
  options: [
    { name: 'image', value: 'NAME', description: 'only the image of this name or digest, as an OCI image layout' },
    ...OPEN_OPTIONS,
    JSON_OPTION,
  ],
  examples: ['bfc unpack images.bfc images --key-file bfc.key', 'bfc unpack images.bfc busybox --image busybox:1.37'],
  async run(context, input) {
    const { unpackFile } = await import('../bfc/unpack.ts');
    await unpackFile(context, input);
    return 0;
  },
};

const info: Command = {
  name: 'info',
  summary: 'print what a BFC file is, and its images',
  description:
    'Prints layout, sizes, number of entries, compression, encryption, the kind of checksums, and the images. An encrypted file needs no key, ' +
    'except for its images.',
  arguments: [FILE],
  options: [...OPEN_OPTIONS, ASK_PASSWORD_OPTION, JSON_OPTION],
  examples: ['bfc info images.bfc'],
  async run(context, input) {
    const { describeFile } = await import('../bfc/info.ts');
    await describeFile(context, input);
    return 0;
  },
};

const list: Command = {
  name: 'list',
  summary: 'list the entries or the images of a BFC file',
  description:
    'A line for each entry: kind and mode, size, size as stored, "z" when it is compressed, "e" when it is encrypted, time in UTC, ' +
    'and path. Entries need no key, the images of an encrypted file do.',
  arguments: [FILE],
  options: [{ name: 'images', description: 'list the images' }, ...OPEN_OPTIONS, JSON_OPTION],
  examples: ['bfc list images.bfc', 'bfc list --images images.bfc --password-file bfc.password'],
  async run(context, input) {
    if (input.has('images')) {
      const { listImagesOf } = await import('../bfc/info.ts');
      await listImagesOf(context, input);
    } else {
      const { listEntries } = await import('../bfc/list.ts');
      await listEntries(context, input);
    }
    return 0;
  },
};

const verify: Command = {
  name: 'verify',
  summary: 'check a BFC file for damage',
  description:
    'Checks header and index with their checksums, and that no layer of an image is missing (of an encrypted file with its key); with --deep also each content against ' +
    'its checksum, after it was decrypted and decompressed. The exit code is 1 when something is damaged; a line names ' +
    'each damaged entry (up to 100).',
  arguments: [FILE],
  options: [{ name: 'deep', description: 'read all contents' }, ...OPEN_OPTIONS, JSON_OPTION],
  examples: ['bfc verify --deep images.bfc --key-file bfc.key'],
  async run(context, input) {
    const { verifyFile } = await import('../bfc/verify.ts');
    await verifyFile(context, input);
    return 0;
  },
};

const importCommand: Command = {
  name: 'import',
  summary: 'import the images of a BFC file',
  description:
    "The images get into the server's store as after a pull, out of FILE without a copy of their layers. An encrypted file is opened with the given key or " +
    'password, or those of the configuration (bfc.key_files, bfc.password_files). The path is on the host of the server, and FILE may be anywhere. ' +
    'An interrupted command leaves only the images that were complete.',
  arguments: [FILE],
  options: [
    { name: 'image', value: 'NAME', description: 'only the image of this name or digest' },
    { name: 'name', value: 'REFERENCE', description: 'name of the image (default: the names in FILE)' },
    ...OPEN_OPTIONS,
    JSON_OPTION,
    ...SERVER_OPTIONS,
  ],
  examples: ['bfc import images.bfc --key-file bfc.key'],
  async run(context, input) {
    const { connectServer } = await import('../client/connect.ts');
    const { importFile } = await import('../bfc/import.ts');
    using server = await connectServer(context, input);
    await importFile(context, server, input);
    return 0;
  },
};

const exportCommand: Command = {
  name: 'export',
  summary: 'write an image of the server into a BFC file',
  description:
    'Writes an image layout with all files of the image in one layer, as "export" does; its digests and its id are others. Until the command ' +
    'ends up to twice the size of FILE is needed in the directory TMPDIR, else /var/tmp, where the image is not encrypted.',
  arguments: [{ name: 'IMAGE', description: 'name or id', kind: 'image' }, TARGET],
  options: [
    { name: 'name', value: 'REFERENCE', description: 'name of the image (default: its names)' },
    ...WRITE_OPTIONS,
    ...SERVER_OPTIONS,
  ],
  examples: ['bfc export docker.io/library/busybox:latest busybox.bfc --password-file bfc.password'],
  async run(context, input) {
    const { exportFile } = await import('../bfc/pack.ts');
    await exportFile(context, input);
    return 0;
  },
};

export const bfc: Command = {
  name: 'bfc',
  summary: 'work with BFC files',
  description:
    'Images in one file, compressed and encrypted, for nodes without a registry. Passwords come from a file, a descriptor or the terminal, ' +
    'where a command that opens an encrypted file asks for one when no option names it.',
  commands: [pack, unpack, info, list, verify, importCommand, exportCommand],
};
