import { constants, createReadStream } from 'node:fs';
import { mkdir, mkdtemp, open, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { failedPrecondition } from '../../../core/model/errors.ts';
import type { LayerPacker, PackedLayer } from '../../../core/model/image-files.ts';
import type { RootfsChanges } from '../../../core/model/rootfs-changes.ts';
import { startProgram } from '../../../host/processes/start-program.ts';
import type { TarEntry } from '../../../utils/tar/header.ts';
import { formatEntry } from '../../../utils/tar/writer.ts';
import { openBlob } from '../archive/layout.ts';
import { digestOfStream } from '../digest.ts';
import { TAR_ARGUMENTS, throwIfFailed } from './pack-layer.ts';

const WHITEOUT = Buffer.from('.wh.');
const HERE = Buffer.from('./');
const END = Buffer.from('\0');
const SLASH = 0x2f;

/** Packs changes with the tar of exports, not compressed: a layer is read once, at once. */
export class ChangePacker implements LayerPacker {
  readonly #temporary: string;

  /** @param temporary directory for the layers. */
  constructor(temporary: string) {
    this.#temporary = temporary;
  }

  async pack(changes: RootfsChanges, signal: AbortSignal | undefined): Promise<PackedLayer> {
    await mkdir(this.#temporary, { recursive: true, mode: 0o700 });
    const directory = await mkdtemp(join(this.#temporary, 'changes-'));
    const discard = () => rm(directory, { recursive: true, force: true });
    try {
      const [layer, names] = [join(directory, 'layer'), join(directory, 'names')];
      await list(changes, { layer, names }, signal);
      await pack(changes.directory, { layer, names }, signal);
      const digest = await digestOfStream(createReadStream(layer, { highWaterMark: 262_144 }), signal);
      const { size } = await stat(layer);
      return {
        digest,
        size,
        open: (wanted, abort, range) => Promise.resolve(openBlob(layer, wanted, abort, range)),
        discard,
      };
    } catch (error) {
      await discard();
      signal?.throwIfAborted();
      throw error;
    }
  }
}

/** Writes the names for tar, and begins the layer with the whiteouts: they hide nothing of what follows. */
async function list(
  changes: RootfsChanges,
  files: { layer: string; names: string },
  signal: AbortSignal | undefined,
): Promise<void> {
  await using layer = await open(files.layer, 'wx', 0o600);
  await using names = await open(files.names, 'wx', 0o600);
  // The root has an owner and a mode, too.
  await names.writeFile(Buffer.concat([HERE, END]));
  for await (const batch of changes.list(signal)) {
    const present = batch.filter(({ kind }) => kind !== 'deleted');
    for (const { path } of present) checkName(path);
    const deleted = batch.filter(({ kind }) => kind === 'deleted');
    await names.writeFile(Buffer.concat(present.flatMap(({ path }) => [HERE, path, END])));
    await layer.writeFile(Buffer.concat(deleted.map(({ path }) => whiteout(path))));
  }
}

async function pack(
  root: string,
  { layer, names }: { layer: string; names: string },
  signal: AbortSignal | undefined,
): Promise<void> {
  const { ended } = await startProgram(
    {
      argv: ['tar', ...TAR_ARGUMENTS, `--directory=${root}`, '--no-recursion', '--null', `--files-from=${names}`],
      env: { PATH: process.env['PATH'], LC_ALL: 'C' },
      cwd: process.cwd(),
      pipes: {},
      descriptors: {
        1: { kind: 'open', path: layer, flags: constants.O_WRONLY | constants.O_APPEND },
        2: { kind: 'capture', limit: 65_536 },
      },
    },
    signal,
  );
  const result = await ended;
  signal?.throwIfAborted();
  throwIfFailed(result);
}

/** An empty file `.wh.<name>` beside where the deleted entry was. */
function whiteout(path: Buffer): Buffer {
  const name = path.lastIndexOf(SLASH) + 1;
  const entry: TarEntry = {
    type: 'file',
    name: Buffer.concat([HERE, path.subarray(0, name), WHITEOUT, path.subarray(name)]).toString('latin1'),
    linkName: '',
    size: 0,
    mode: 0,
    uid: 0,
    gid: 0,
    mtime: '0',
    deviceMajor: 0,
    deviceMinor: 0,
    xattrs: new Map(),
  };
  return formatEntry(entry);
}

/** @throws CriError FAILED_PRECONDITION for a file that would delete another. */
function checkName(path: Buffer): void {
  const text = path.toString();
  if (!/(^|\/)\.wh\./.test(text)) return;
  throw failedPrecondition(
    `${JSON.stringify(`/${text}`)}: names that begin with ".wh." are reserved in layers; remove or rename it`,
  );
}
