import { createHash, randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { badParameters, fault } from '../../http/api-error.ts';
import { flag, oneOf, required, text } from '../params/property.ts';
import { textOf, type Call, type Method, type Permission } from '../method.ts';

const base = '/nodes/{node}/storage/{storage}';
const template = { path: '/storage/{storage}', privileges: ['Datastore.AllocateTemplate'] };
const algorithms = oneOf('md5', 'sha1', 'sha224', 'sha256', 'sha384', 'sha512');
const content = required(oneOf('iso', 'vztmpl', 'import'));

const network: Permission = {
  and: [
    template,
    {
      or: [
        { path: '/', privileges: ['Sys.Audit', 'Sys.Modify'] },
        { path: '/nodes/{node}', privileges: ['Sys.AccessNetwork'] },
      ],
    },
  ],
};

/** Names that a file of a content type may have. */
function extensions({ state }: Call): Record<string, RegExp> {
  return {
    iso: /\.(?:iso|img)$/i,
    vztmpl: state.nine ? /\.tar(?:\.(?:gz|xz|zst|bz2))?$/ : /\.tar\.(?:gz|xz|zst|bz2)$/,
    import: /\.(?:ova|ovf|qcow2|raw|vmdk)$/,
  };
}

/** Where the file goes; checks storage and name. */
function target(call: Call): { path: string; file: string } {
  const { state } = call;
  const storage = textOf(call, 'storage');
  const type = textOf(call, 'content');
  const name = textOf(call, 'filename')
    .replace(/^.*[/\\]/, '')
    .replaceAll(' ', '_');
  const config = state.volumes.config(storage);
  if (!extensions(call)[type]!.test(name) || /[^-a-zA-Z0-9_.]/.test(name)) {
    throw badParameters({ filename: 'wrong file extension' });
  }
  if (!config.content.includes(type)) throw fault(`storage '${storage}' does not support '${type}' content`);
  const volid = `${storage}:${type}/${name}`;
  return { path: state.volumes.path(volid), file: state.volumes.file(volid) };
}

function checkSum(call: Call, data: Buffer, log: (line: string) => void): void {
  const expected = textOf(call, 'checksum');
  if (expected === '') return;
  const got = createHash(textOf(call, 'checksum-algorithm') || 'sha256')
    .update(data)
    .digest('hex');
  if (got === expected.toLowerCase()) {
    log('calculating checksum...OK, checksum verified');
    return;
  }
  log('calculating checksum...');
  throw fault(`checksum mismatch: got '${got}' != expect '${expected}'`);
}

function upload(call: Call): string {
  const { state, upload: file, node } = call;
  const { path, file: destination } = target(call);
  const temporary = `/var/tmp/pveupload-${randomBytes(16).toString('hex')}`;
  if (file === undefined) throw fault('missing temporary file');
  return call.fork('imgcopy', '', async ({ log }) => {
    log(`starting file import from: ${temporary}`);
    checkSum(call, file.content, log);
    log(`target node: ${node}`);
    log(`target file: ${path}`);
    log(`file size is: ${file.content.length}`);
    log(`command: cp -- ${temporary} ${path}`);
    state.requireSpace(textOf(call, 'storage'));
    await writeFile(destination, file.content);
    log('finished file import successfully');
  });
}

function reason(error: unknown): string {
  const cause = error instanceof Error ? (error.cause as NodeJS.ErrnoException | undefined) : undefined;
  return cause?.code === 'ECONNREFUSED' || cause?.message.includes('bad port') === true
    ? 'Connection refused'
    : String(cause?.message ?? error);
}

function download(call: Call): string {
  const { path, file } = target(call);
  const url = new URL(textOf(call, 'url'));
  const now = new Date().toISOString().replace('T', ' ').replace(/\..*/, '');
  return call.fork('download', textOf(call, 'filename'), async ({ log }) => {
    log(`downloading ${url.href} to ${path}`);
    log(`--${now}--  ${url.href}`);
    let data: Buffer;
    try {
      const answer = await fetch(url);
      if (!answer.ok) throw new Error(`ERROR ${answer.status}: ${answer.statusText}.`);
      data = Buffer.from(await answer.arrayBuffer());
    } catch (error) {
      throw fault(`download failed: Connecting to ${url.host}... failed: ${reason(error)}.`);
    }
    checkSum(call, data, log);
    await writeFile(file, data);
    log(`download of '${url.href}' to '${path}' finished`);
  });
}

/** Bringing files into a storage. */
export const uploadMethods: readonly Method[] = [
  {
    verb: 'POST',
    path: `${base}/upload`,
    permission: template,
    protected: true,
    parameters: {
      content,
      filename: required(text({ maxLength: 255 })),
      checksum: text(),
      'checksum-algorithm': algorithms,
      tmpfilename: text({ pattern: /\/var\/tmp\/pveupload-[0-9a-f]+/ }),
    },
    handle: upload,
  },
  {
    verb: 'POST',
    path: `${base}/download-url`,
    permission: network,
    protected: true,
    parameters: {
      content,
      filename: required(text({ maxLength: 255 })),
      url: required(text({ pattern: /https?:\/\/.*/ })),
      checksum: text(),
      'checksum-algorithm': algorithms,
      compression: text(),
      'verify-certificates': flag,
    },
    handle: download,
  },
];
