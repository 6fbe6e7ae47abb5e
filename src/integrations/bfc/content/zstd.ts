import { Readable, type Transform } from 'node:stream';
import { pipeline } from 'node:stream';
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

/** Content that another thread needs longer to be handed than this one to compress or decompress. */
const SHORT_BYTES = 65_536;
/** Level of compression from which that is not so. */
const SLOW_LEVEL = 10;

const MAGIC = 0xfd2fb528;
/** Bytes that a stream gives out at a time. */
const CHUNK_BYTES = 262_144;
/** The window of level 22: a frame that asks for more memory than 128 MiB is refused. */
const DECOMPRESSION = { params: { [constants.ZSTD_d_windowLogMax]: 27 }, rejectGarbageAfterEnd: true };

const compressOnce = promisify(zstdCompress) as (bytes: Buffer, options: object) => Promise<Buffer>;
const decompressOnce = promisify(zstdDecompress) as (bytes: Buffer, options: object) => Promise<Buffer>;

/** Content that is no frame of zstd, or not the one that it should be. The message is a predicate for an entry. */
export class ZstdError extends Error {
  constructor(problem: string, options?: ErrorOptions) {
    super(problem, options);
    this.name = 'ZstdError';
  }
}

/** One frame with the size of its content in it and without a checksum, as the original writes it. */
export async function compressBuffer(bytes: Buffer, level: number): Promise<Buffer> {
  const options = { params: { [constants.ZSTD_c_compressionLevel]: level }, pledgedSrcSize: bytes.length };
  if (bytes.length <= SHORT_BYTES && level < SLOW_LEVEL) return zstdCompressSync(bytes, options);
  return compressOnce(bytes, options);
}

/** The same of a stream of `size` bytes; it takes a few MiB, more at levels above 19. */
export function compressStream(
  content: AsyncIterable<Buffer> | Iterable<Buffer>,
  size: number,
  level: number,
): AsyncGenerator<Buffer> {
  const params = { [constants.ZSTD_c_compressionLevel]: level };
  return through(content, createZstdCompress({ params, pledgedSrcSize: size, chunkSize: CHUNK_BYTES }));
}

/** The content of one frame that must have `size` bytes. @throws ZstdError */
export async function decompressBuffer(frame: Buffer, size: number): Promise<Buffer> {
  checkSize(frame, size);
  try {
    // The limit may not be 0.
    const options = { ...DECOMPRESSION, maxOutputLength: size + 1 };
    const content = size <= SHORT_BYTES ? zstdDecompressSync(frame, options) : await decompressOnce(frame, options);
    if (content.length === size) return content;
  } catch (error) {
    throw asZstdError(error);
  }
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

/** Passes bytes through a stream; whoever stops reading, ends it and the source. */
async function* through(source: AsyncIterable<Buffer> | Iterable<Buffer>, stream: Transform): AsyncGenerator<Buffer> {
  const bytes = Readable.from(source, { objectMode: false, highWaterMark: CHUNK_BYTES });
  // The reader of the stream receives the error.
  pipeline(bytes, stream, () => undefined);
  yield* stream as AsyncIterable<Buffer>;
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

/** The size of its content that a frame's header states (RFC 8878, 3.1.1.1). */
function contentSize(frame: Buffer): number | undefined {
  if (frame.length < 5 || frame.readUInt32LE(0) !== MAGIC) return undefined;
  const descriptor = frame.readUInt8(4);
  const isSingleSegment = (descriptor & 0x20) !== 0;
  const dictionaryBytes = [0, 1, 2, 4][descriptor & 3] ?? 0;
  const at = 5 + (isSingleSegment ? 0 : 1) + dictionaryBytes;
  const flag = descriptor >>> 6;
  const length = flag === 0 ? (isSingleSegment ? 1 : 0) : 2 ** flag;
  if (length === 0 || at + length > frame.length) return undefined;
  if (flag === 3) return Number(frame.readBigUInt64LE(at));
  return frame.readUIntLE(at, length) + (flag === 1 ? 256 : 0);
}

/** Only errors of zstd: others, such as those of reading the file, pass. */
function asZstdError(error: unknown): unknown {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (!/^(Z_|ZSTD_|ERR_BUFFER_TOO_LARGE|ERR_TRAILING_JUNK)/.test(code)) return error;
  return new ZstdError('its compressed content is damaged', { cause: error });
}
