import type { Transform } from 'node:stream';
import {
  constants,
  createZstdCompress,
  createZstdDecompress,
  zstdCompress,
  zstdCompressSync,
  zstdDecompress,
  zstdDecompressSync,
} from 'node:zlib';
import { promisify } from 'node:util';
import { ZstdContext } from './zstd-contexts.ts';
import { contentSize, isWholeFrame } from './zstd-frame.ts';

/** Content that this thread compresses in a millisecond; another one needs longer to be handed most of it. */
const SHORT_BYTES = 262_144;
/** Level of compression from which it takes longer. */
const SLOW_LEVEL = 10;

/** Bytes that a stream gives out at a time. */
const CHUNK_BYTES = 262_144;
/** The window of level 22: a frame that asks for more memory than 128 MiB is refused. */
const DECOMPRESSION = { params: { [constants.ZSTD_d_windowLogMax]: 27 }, rejectGarbageAfterEnd: true };

/** Of this thread, for short contents: one of each level, and one to decompress. */
const compressors = new Map<number, ZstdContext>();
const decompressor = new ZstdContext('decompress', () => createZstdDecompress(DECOMPRESSION));
/** What a short content is compressed or decompressed to. */
let output: Buffer | undefined;

function shortOutput(): Buffer {
  return (output ??= Buffer.allocUnsafeSlow(bound(SHORT_BYTES)));
}

const compressOnce = promisify(zstdCompress) as (bytes: Buffer, options: object) => Promise<Buffer>;
const decompressOnce = promisify(zstdDecompress) as (bytes: Buffer, options: object) => Promise<Buffer>;

/** Content that is no frame of zstd, or not the one that it should be. The message is a predicate for an entry. */
export class ZstdError extends Error {
  constructor(problem: string, options?: ErrorOptions) {
    super(problem, options);
    this.name = 'ZstdError';
  }
}

/** Whether content of this size is decompressed at once. */
export function isShort(size: number): boolean {
  return size <= SHORT_BYTES;
}

/**
 * One frame with the size of its content in it and without a checksum, as the original writes it. One that is there at once is valid
 * until another frame is made or read.
 */
export function compressBuffer(bytes: Buffer, level: number): Buffer | Promise<Buffer> {
  const size = bytes.length;
  if (!isShort(size) || level >= SLOW_LEVEL) {
    // A thread is handed the content once for each chunk of its output.
    return compressOnce(bytes, { params: atLevel(level), pledgedSrcSize: size, chunkSize: bound(size) });
  }
  let context = compressors.get(level);
  if (!context) {
    context = new ZstdContext('compress', () => createZstdCompress({ params: atLevel(level) }));
    compressors.set(level, context);
  }
  const length = context.run(bytes, shortOutput());
  if (length !== undefined) return shortOutput().subarray(0, length);
  return zstdCompressSync(bytes, { params: atLevel(level), pledgedSrcSize: size });
}

function atLevel(level: number): Record<number, number> {
  return { [constants.ZSTD_c_compressionLevel]: level };
}

/** More than zstd's ZSTD_COMPRESSBOUND. */
function bound(size: number): number {
  return size + (size >>> 7) + 1024;
}

/** The same of a stream of `size` bytes; it takes a few MiB, more at levels above 19. */
export function compressStream(
  content: AsyncIterable<Buffer> | Iterable<Buffer>,
  size: number,
  level: number,
): AsyncGenerator<Buffer> {
  const options = { params: atLevel(level), pledgedSrcSize: size, chunkSize: CHUNK_BYTES };
  return through(content, createZstdCompress(options));
}

/**
 * The content of one frame that must have `size` bytes. One that is there at once is valid until another frame is made or read.
 * @throws ZstdError, also at once
 */
export function decompressBuffer(frame: Buffer, size: number): Buffer | Promise<Buffer> {
  checkSize(frame, size);
  if (!isShort(size)) return decompressOther(frame, size);
  if (!isWholeFrame(frame)) throw new ZstdError('its compressed content is damaged');
  try {
    const length = decompressor.run(frame, shortOutput().subarray(0, size + 1));
    if (length === undefined) return sized(zstdDecompressSync(frame, limited(size)), size);
    return sized(shortOutput().subarray(0, length), size);
  } catch (error) {
    throw asZstdError(error);
  }
}

async function decompressOther(frame: Buffer, size: number): Promise<Buffer> {
  try {
    return sized(await decompressOnce(frame, limited(size)), size);
  } catch (error) {
    throw asZstdError(error);
  }
}

/** The limit may not be 0, and chunks not be shorter than 64 bytes. */
function limited(size: number): object {
  return { ...DECOMPRESSION, maxOutputLength: size + 1, chunkSize: size + 64 };
}

function sized(content: Buffer, size: number): Buffer {
  if (content.length === size) return content;
  throw new ZstdError('its compressed content has another size than it says');
}

/** The same of a stream: ends as soon as there are more than `size` bytes. @throws ZstdError */
export async function* decompressStream(frame: AsyncIterable<Buffer>, size: number): AsyncGenerator<Buffer> {
  let left = size;
  try {
    for await (const chunk of through(
      withCheckedSize(frame, size),
      createZstdDecompress({ ...DECOMPRESSION, chunkSize: CHUNK_BYTES }),
    )) {
      left -= chunk.length;
      if (left < 0) break;
      yield chunk;
    }
  } catch (error) {
    throw asZstdError(error);
  }
  if (left !== 0) throw new ZstdError('its compressed content has another size than it says');
}

/**
 * Passes bytes through a stream; whoever stops reading, ends it and the source. A chunk goes in while the next one is made, and is
 * done with when the one after that is asked for.
 */
async function* through(source: AsyncIterable<Buffer> | Iterable<Buffer>, stream: Transform): AsyncGenerator<Buffer> {
  // The reader of the stream receives the error.
  const fed = feed(source, stream).catch((error: unknown) => {
    stream.destroy(error as Error);
  });
  try {
    yield* stream as AsyncIterable<Buffer>;
  } finally {
    stream.destroy();
    await fed;
  }
}

async function feed(source: AsyncIterable<Buffer> | Iterable<Buffer>, stream: Transform): Promise<void> {
  let taken: Promise<void> | undefined;
  let settle: (error?: Error | null) => void = () => undefined;
  // A stream that is closed says nothing of what it was given.
  stream.once('close', () => {
    settle(new Error('the stream is closed'));
  });
  for await (const chunk of source) {
    await taken;
    taken = new Promise((resolve, reject) => {
      settle = (error) => {
        if (error) reject(error);
        else resolve();
      };
      stream.write(chunk, settle);
    });
    // It is waited for when the next one is there.
    taken.catch(() => undefined);
  }
  await taken;
  stream.end();
}

async function* withCheckedSize(frame: AsyncIterable<Buffer>, size: number): AsyncGenerator<Buffer> {
  let isFirst = true;
  for await (const chunk of frame) {
    if (isFirst) checkSize(chunk, size);
    isFirst = false;
    yield chunk;
  }
  if (isFirst) throw new ZstdError('its compressed content is empty');
}

/** Before anything is decompressed. */
function checkSize(frame: Buffer, size: number): void {
  const stated = contentSize(frame);
  if (stated === size) return;
  throw new ZstdError(
    stated === undefined
      ? 'its compressed content is no zstd frame that states its size'
      : 'its compressed content has another size than it says',
  );
}

/** Only errors of zstd: others, such as those of reading the file, pass. */
function asZstdError(error: unknown): unknown {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (!/^(Z_|ZSTD_|ERR_BUFFER_TOO_LARGE|ERR_TRAILING_JUNK)/.test(code)) return error;
  return new ZstdError('its compressed content is damaged', { cause: error });
}
