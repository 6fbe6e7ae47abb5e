import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { isErrno, messageOf } from '../../../utils/errors.ts';
import { invalidArgument } from '../../../core/model/errors.ts';
import { quoted } from '../../../core/logging/escape.ts';
import { BfcError } from '../errors.ts';

/** Bytes of one read of a long content. */
const CHUNK_BYTES = 262_144;

/** The pool of Node.js has 8 KiB. */
const MAX_POOL_BYTES = 65_536;

/** The bytes of a BFC file. */
export interface ByteFile {
  /** For messages. */
  readonly name: string;
  /** When it was opened. */
  readonly size: number;
  /** Exactly these bytes, or fewer when the file has become shorter. @param into where they may be put instead of a new buffer. */
  read(offset: number, length: number, into?: Buffer): Promise<Buffer>;
  close(): Promise<void>;
}

/**
 * Opens a regular file for reading. What happens to its name then changes nothing.
 * @throws CriError INVALID_ARGUMENT when it cannot be opened, or is something else.
 */
export async function openByteFile(path: string): Promise<ByteFile> {
  const file = await openForReading(path);
  try {
    const found = await file.stat();
    if (!found.isFile()) throw invalidArgument('path', `${quoted(path)} is not a regular file`);
    return {
      name: path,
      size: found.size,
      read: async (offset, length, into) => {
        const buffer = into ?? Buffer.allocUnsafeSlow(length);
        let filled = 0;
        while (filled < length) {
          const { bytesRead } = await file.read(buffer, filled, length - filled, offset + filled);
          if (bytesRead === 0) break;
          filled += bytesRead;
        }
        return buffer.subarray(0, filled);
      },
      close: () => file.close(),
    };
  } catch (error) {
    await file.close();
    throw error;
  }
}

async function openForReading(path: string) {
  try {
    // A FIFO without a writer would be waited for.
    return await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    if (!isErrno(error, 'ENOENT', 'ENOTDIR', 'EACCES', 'ELOOP', 'ENXIO')) throw error;
    throw invalidArgument('path', `${quoted(path)} cannot be read: ${messageOf(error)}`);
  }
}

/** Bytes that the file had when it was opened. @throws BfcError when it has become shorter. */
export async function readExactly(file: ByteFile, offset: number, length: number, into?: Buffer): Promise<Buffer> {
  const bytes = await file.read(offset, length, into);
  if (bytes.length === length) return bytes;
  throw new BfcError('truncated', { file: file.name, offset: offset + bytes.length }, 'the file has become shorter');
}

export interface ChunkOptions {
  signal?: AbortSignal | undefined;
  /** A chunk is valid only until the one after the next is asked for: it saves the collector of garbage 100 MB. */
  recycles?: boolean | undefined;
}

/** Two buffers in turn. */
export class ChunkBuffers {
  readonly #size: number;
  #free: Buffer | undefined;
  #used: Buffer | undefined;

  constructor(size: number) {
    this.#size = size;
  }

  /** The one that was not returned last. */
  next(): Buffer {
    [this.#used, this.#free] = [this.#free ?? Buffer.allocUnsafeSlow(this.#size), this.#used];
    return this.#used;
  }
}

/** Chunks whose memory is freed when they are not valid any more, as those of {@link ChunkOptions.recycles}. */
export async function* released(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let last: Buffer | undefined;
  for await (const chunk of chunks) {
    yield chunk;
    if (last) release(last);
    last = chunk;
  }
}

/** Of one of several chunks in a buffer only the last; a buffer of the pool is others', too. */
function release({ buffer, byteOffset, length }: Buffer): void {
  const isLast = byteOffset + length === buffer.byteLength && buffer.byteLength > MAX_POOL_BYTES;
  if (isLast && buffer instanceof ArrayBuffer) buffer.transfer(0);
}

/** A range of the file in chunks of 256 KiB. @throws as {@link readExactly}; the signal's reason. */
export async function* readChunks(
  file: ByteFile,
  offset: number,
  length: number,
  { signal, recycles = false }: ChunkOptions = {},
): AsyncGenerator<Buffer> {
  const buffers = recycles ? new ChunkBuffers(Math.min(CHUNK_BYTES, length)) : undefined;
  for (let at = offset; at < offset + length; at += CHUNK_BYTES) {
    signal?.throwIfAborted();
    const count = Math.min(CHUNK_BYTES, offset + length - at);
    yield await readExactly(file, at, count, buffers?.next().subarray(0, count));
  }
}
