import {
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
import type { Progress, WorkOptions } from './verify.ts';
import type { BfcWriter } from './writer.ts';

/**
 * Files up to this size are read by synchronous calls, as is everything but content: to hand one to another thread takes longer
 * than five of them.
 */
const SMALL_BYTES = 65_536;
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
}

/** @param prefix of the paths of what is in the open directory, empty or with a slash at its end. */
async function addChildren(work: Work, directory: number, prefix: string): Promise<void> {
  const place = `/proc/self/fd/${directory}`;
  const names = readdirSync(place, { encoding: 'buffer' })
    .map((name) => name.toString('latin1'))
    .sort();
  for (const name of names) {
    work.signal?.throwIfAborted();
    await addChild(work, Buffer.from(`${place}/${name}`, 'latin1'), prefix + name);
    work.done.entries++;
    work.progress?.(work.done);
  }
}

async function addChild(work: Work, place: Buffer, path: string): Promise<void> {
  const found = lstatSync(place, { bigint: true });
  const attributes = { mode: Number(found.mode) & MODE_BITS, mtime: found.mtimeNs };
  if (found.isFile()) await addFile(work, place, path);
  else if (found.isSymbolicLink()) {
    await work.writer.addSymlink(path, readlinkSync(place, { encoding: 'buffer' }), attributes);
  } else if (found.isDirectory()) {
    await work.writer.addDirectory(path, attributes);
    const directory = openSync(place, DIRECTORY);
    try {
      await addChildren(work, directory, `${path}/`);
    } finally {
      closeSync(directory);
    }
  } else {
    work.skipped?.(path);
    work.done.entries--;
  }
}

async function addFile(work: Work, place: Buffer, path: string): Promise<void> {
  const file = openSync(place, FILE);
  try {
    const found = fstatSync(file, { bigint: true });
    const size = Number(found.size);
    const attributes = { mode: Number(found.mode) & MODE_BITS, mtime: found.mtimeNs, size };
    await work.writer.addFile(path, attributes, size <= SMALL_BYTES ? readSmall(file, size) : chunksOf(work, file));
    if (size > SMALL_BYTES) return;
    work.done.bytes += size;
    work.progress?.(work.done);
  } finally {
    closeSync(file);
  }
}

/** One byte more than expected, if there is one: the file grows. */
function readSmall(file: number, size: number): Buffer {
  const bytes = Buffer.allocUnsafe(size + 1);
  let length = 0;
  let count = 0;
  do {
    count = readSync(file, bytes, length, bytes.length - length, null);
    length += count;
  } while (count > 0 && length < size);
  return bytes.subarray(0, length);
}

async function* chunksOf({ signal, done, progress }: Work, file: number): AsyncGenerator<Buffer> {
  for (;;) {
    signal?.throwIfAborted();
    const { buffer, bytesRead } = await readOnce(file, Buffer.allocUnsafeSlow(CHUNK_BYTES), 0, CHUNK_BYTES, null);
    if (bytesRead === 0) return;
    done.bytes += bytesRead;
    progress?.(done);
    yield buffer.subarray(0, bytesRead);
  }
}
