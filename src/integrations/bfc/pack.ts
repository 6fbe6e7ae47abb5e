import {
  type BigIntStats,
  type Dirent,
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  read,
  readSync,
  readdirSync,
  readlinkSync,
} from 'node:fs';
import { promisify } from 'node:util';
import { ChunkBuffers } from './files/byte-file.ts';
import type { Progress, WorkOptions } from './verify.ts';
import type { BfcWriter, EntryAttributes } from './writer.ts';

/**
 * Files up to this size are read by synchronous calls, as is everything but content: to hand one to another thread takes longer
 * than five of them.
 */
const SMALL_BYTES = 262_144;
const CHUNK_BYTES = 262_144;
const DIRECTORY = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;
/** A FIFO that has come into a file's place would be waited for. */
const FILE = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
/** Permission bits, as the original keeps them. */
const MODE_BITS = 0o777;

const readOnce = promisify(read);

export interface PackOptions extends WorkOptions {
  /** Gets the path of what a BFC file cannot hold: devices, FIFOs and sockets. */
  skipped?: (path: string) => void;
}

/**
 * Adds what is in a directory, in the order of names; the directory itself has no entry. Symlinks are added as such and not followed,
 * also when somebody puts them in the place of directories meanwhile. Owners, extended attributes and set-user-ID bits are lost,
 * and hard links become files of their own.
 * @throws BfcError for a name that cannot be written, or a file that changes its size meanwhile; the signal's reason; errors of the
 *   system.
 */
export async function packDirectory(
  writer: BfcWriter,
  directory: string,
  options: PackOptions = {},
): Promise<Progress> {
  const done: Progress = { entries: 0, bytes: 0 };
  const root = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await addChildren({ writer, done, ...options }, root, '');
  } finally {
    closeSync(root);
  }
  return done;
}

interface Work extends PackOptions {
  writer: BfcWriter;
  done: Progress;
  /** For the content of one small file after another. */
  buffer?: Buffer;
}

/** @param prefix of the paths of what is in the open directory, empty or with a slash at its end. */
async function addChildren(work: Work, directory: number, prefix: string): Promise<void> {
  const place = `/proc/self/fd/${directory}`;
  const children = readdirSync(place, { encoding: 'buffer', withFileTypes: true })
    .map((child) => ({ child, name: child.name.toString('latin1') }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const { child, name } of children) {
    work.signal?.throwIfAborted();
    const adding = addChild(work, child, Buffer.from(`${place}/${name}`, 'latin1'), prefix + name);
    if (adding) await adding;
    work.done.entries++;
    work.progress?.(work.done);
  }
}

/** At once unless it waits for something. @param child what was at the place when its directory was read. */
function addChild(work: Work, child: Dirent<Buffer>, place: Buffer, path: string): void | Promise<void> {
  if (child.isFile()) return addFile(work, place, path);
  if (child.isDirectory()) return addDirectory(work, place, path);
  if (child.isSymbolicLink()) {
    const target = readlinkSync(place, { encoding: 'buffer' });
    return work.writer.addSymlink(path, target, attributesOf(lstatSync(place, { bigint: true })));
  }
  skip(work, path);
  return undefined;
}

async function addDirectory(work: Work, place: Buffer, path: string): Promise<void> {
  const directory = openSync(place, DIRECTORY);
  try {
    await work.writer.addDirectory(path, attributesOf(fstatSync(directory, { bigint: true })));
    await addChildren(work, directory, `${path}/`);
  } finally {
    closeSync(directory);
  }
}

function skip(work: Work, path: string): void {
  work.skipped?.(path);
  work.done.entries--;
}

function addFile(work: Work, place: Buffer, path: string): void | Promise<void> {
  const file = openSync(place, FILE);
  let isLong = false;
  try {
    const found = fstatSync(file, { bigint: true });
    if (!found.isFile()) {
      skip(work, path);
      return undefined;
    }
    const size = Number(found.size);
    const attributes = { ...attributesOf(found), size };
    isLong = size > SMALL_BYTES;
    if (isLong) return addLong(work, file, path, attributes);
    const content = readSmall(file, size, (work.buffer ??= makeBuffer()));
    work.done.bytes += size;
    return work.writer.addFile(path, attributes, content);
  } finally {
    if (!isLong) closeSync(file);
  }
}

/** Closes the file. */
async function addLong(
  work: Work,
  file: number,
  path: string,
  attributes: EntryAttributes & { size: number },
): Promise<void> {
  try {
    await work.writer.addFile(path, attributes, chunksOf(work, file));
  } finally {
    closeSync(file);
  }
}

function attributesOf({ mode, mtimeNs }: BigIntStats): EntryAttributes {
  return { mode: Number(mode) & MODE_BITS, mtime: mtimeNs };
}

function makeBuffer(): Buffer {
  return Buffer.allocUnsafeSlow(SMALL_BYTES + 1);
}

/** One byte more than expected, if there is one: the file grows. */
function readSmall(file: number, size: number, buffer: Buffer): Buffer {
  let length = 0;
  let count = 0;
  do {
    count = readSync(file, buffer, length, size + 1 - length, null);
    length += count;
  } while (count > 0 && length < size);
  return buffer.subarray(0, length);
}

async function* chunksOf({ signal, done, progress }: Work, file: number): AsyncGenerator<Buffer> {
  const buffers = new ChunkBuffers(CHUNK_BYTES);
  for (;;) {
    signal?.throwIfAborted();
    const { buffer, bytesRead } = await readOnce(file, buffers.next(), 0, CHUNK_BYTES, null);
    if (bytesRead === 0) return;
    done.bytes += bytesRead;
    progress?.(done);
    yield buffer.subarray(0, bytesRead);
  }
}
