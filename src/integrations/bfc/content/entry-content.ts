import type { KeyObject } from 'node:crypto';
import type { BfcEntry } from '../format/container-index.ts';
import { ENCRYPTION_BYTES } from '../format/container-index.ts';
import { type ByteFile, type ChunkOptions, readChunks, readExactly, released } from '../files/byte-file.ts';
import { NONCE_BYTES, TAG_BYTES, TagMismatch, decrypt, decryptFrom, decryptWhole } from './cipher.ts';
import type { ReadAhead } from '../files/read-ahead.ts';
import { Crc32c, type CrcVariant, crc32c } from '../format/crc32c.ts';
import { BfcError, type BfcPlace } from '../errors.ts';
import { contentOffset, disagreement } from '../format/layout.ts';
import { ZstdError, decompressBuffer, decompressStream, isShort } from './zstd.ts';

/** Content up to this size, in the file and of its own, is read at once, and nothing of it is given out unchecked. */
export const SMALL_BYTES = 1_048_576;

/** How much larger than in the file a compressed content may be. */
export interface RatioLimits {
  /** Times its size in the file, above `unsuspiciousBytes`. */
  maxRatio: number;
  unsuspiciousBytes: number;
}

/** Whose content is read. */
export interface ContentSource {
  file: ByteFile;
  /** The same, for whole objects: they are read one after another. */
  ahead: ReadAhead;
  crc: CrcVariant;
  /** @throws BfcError when there is none. */
  key: (entry: BfcEntry) => KeyObject | Promise<KeyObject>;
  limits: RatioLimits;
}

/** Whether {@link readWhole} is for it. */
export function isSmall(entry: BfcEntry): boolean {
  return entry.stored <= SMALL_BYTES && entry.size <= SMALL_BYTES;
}

/**
 * A small content or a symlink's target, checked against tag and checksum: at once when its object was read ahead and it is short, and
 * then it is valid only until anything else is read or written. @throws BfcError, also at once
 */
export function readWhole(source: ContentSource, entry: BfcEntry): Buffer | Promise<Buffer> {
  const object = source.ahead.ready(entry.offset, entry.objectSize);
  const key = object && entry.encrypted ? source.key(entry) : undefined;
  if (object && !(key instanceof Promise)) return decodeWhole(source, entry, object, key);
  return readLater(source, entry);
}

async function readLater(source: ContentSource, entry: BfcEntry): Promise<Buffer> {
  const object = await readExactly(source.ahead, entry.offset, entry.objectSize);
  const content = decodeWhole(source, entry, object, entry.encrypted ? await source.key(entry) : undefined);
  return content instanceof Promise ? content : Buffer.from(content);
}

function decodeWhole(
  source: ContentSource,
  entry: BfcEntry,
  object: Buffer,
  key: KeyObject | undefined,
): Buffer | Promise<Buffer> {
  const begin = contentOffset(entry.path.length);
  checkHead(source, entry, object.subarray(0, begin));
  const end = begin + entry.stored;
  const stored = object.subarray(begin, end);
  if (end < object.length && object.subarray(end).some((byte) => byte !== 0)) {
    throw new BfcError('malformed', placeOf(source, entry), 'the padding behind its target is not zero');
  }
  try {
    const plain = key ? decryptWhole(stored, key, entry.path) : stored;
    if (!entry.compressed) return checkedWhole(source, entry, plain);
    // Another thread would see what is read next.
    const frame = key || isShort(entry.size) ? plain : Buffer.from(plain);
    const content = decompressBuffer(frame, entry.size);
    return content instanceof Promise ? checkedLater(source, entry, content) : checkedWhole(source, entry, content);
  } catch (error) {
    throw withPlace(source, entry, error);
  }
}

async function checkedLater(source: ContentSource, entry: BfcEntry, content: Promise<Buffer>): Promise<Buffer> {
  try {
    return checkedWhole(source, entry, await content);
  } catch (error) {
    throw withPlace(source, entry, error);
  }
}

function checkedWhole(source: ContentSource, entry: BfcEntry, content: Buffer): Buffer {
  checkSum(source, entry, crc32c(source.crc, content));
  return content;
}

/**
 * The content as it comes: tag and checksum are checked at its end, and it is to be trusted only when it has ended without an
 * error. @throws BfcError; the signal's reason.
 */
export async function* streamContent(
  source: ContentSource,
  entry: BfcEntry,
  options: ChunkOptions = {},
): AsyncGenerator<Buffer> {
  await readHead(source, entry);
  const sum = new Crc32c(source.crc);
  for await (const chunk of namedChunks(source, entry, decode(source, entry, options))) {
    sum.update(chunk);
    yield chunk;
  }
  checkSum(source, entry, sum.value);
}

/** Reads an encrypted content to its end to check its tag. @throws BfcError; the signal's reason. */
export async function authenticate(source: ContentSource, entry: BfcEntry, signal?: AbortSignal): Promise<void> {
  await readHead(source, entry);
  await drain(namedChunks(source, entry, released(decrypted(source, entry, signal))));
}

/**
 * `length` bytes of a content from `offset` on, all inside it. Nothing is checked but, if it is compressed, that it decompresses; an
 * encrypted one must have been authenticated before. Only of compressed content more is read than is given out.
 */
export async function* contentRange(
  source: ContentSource,
  entry: BfcEntry,
  { offset, length }: { offset: number; length: number },
  signal?: AbortSignal,
): AsyncGenerator<Buffer> {
  await readHead(source, entry);
  if (entry.compressed) {
    yield* cut(namedChunks(source, entry, decode(source, entry, { signal, recycles: true })), offset, length);
    return;
  }
  const begin = storedOffset(entry);
  if (!entry.encrypted) {
    yield* readChunks(source.file, begin + offset, length, { signal });
    return;
  }
  const nonce = await readExactly(source.file, begin, NONCE_BYTES);
  const encrypted = readChunks(source.file, begin + NONCE_BYTES + offset, length, { signal, recycles: true });
  yield* decryptFrom(encrypted, await source.key(entry), nonce, offset);
}

/** A directory has no content. @throws BfcError, also at once, unless its object is what the index says. */
export function checkDirectory(source: ContentSource, entry: BfcEntry): void | Promise<void> {
  const object = source.ahead.ready(entry.offset, entry.objectSize);
  if (object) checkHead(source, entry, object);
  else return checkDirectoryLater(source, entry);
}

async function checkDirectoryLater(source: ContentSource, entry: BfcEntry): Promise<void> {
  checkHead(source, entry, await readExactly(source.ahead, entry.offset, entry.objectSize));
}

/** @throws BfcError unless an object's header, name and padding are what the index says. */
async function readHead(source: ContentSource, entry: BfcEntry): Promise<void> {
  checkHead(source, entry, await readExactly(source.file, entry.offset, contentOffset(entry.path.length)));
}

/** Where an entry is, for messages. */
export function placeOf({ file }: Pick<ContentSource, 'file'>, entry: BfcEntry): BfcPlace {
  return { file: file.name, entry: entry.path, offset: entry.offset };
}

function checkHead(source: ContentSource, entry: BfcEntry, head: Buffer): void {
  const problem = disagreement(head, entry.path, entry, entry.stored);
  if (problem !== undefined) throw new BfcError('malformed', placeOf(source, entry), problem);
  checkRatio(source, entry);
}

function checkRatio(source: ContentSource, entry: BfcEntry): void {
  const { maxRatio, unsuspiciousBytes } = source.limits;
  if (!entry.compressed || entry.size <= unsuspiciousBytes || entry.size <= maxRatio * entry.stored) return;
  const ratio = `${entry.stored} bytes are compressed from ${entry.size}`;
  throw new BfcError('limit', placeOf(source, entry), `${ratio}, which is more than ${maxRatio} times as much`);
}

function checkSum(source: ContentSource, entry: BfcEntry, value: number): void {
  if (value === entry.crc32c) return;
  const [found, stated] = [value, entry.crc32c].map((sum) => sum.toString(16).padStart(8, '0'));
  throw new BfcError('damaged', placeOf(source, entry), `its content has the checksum ${found}, not ${stated}`);
}

/** Decrypted and decompressed, as far as it is encrypted and compressed. */
function decode(source: ContentSource, entry: BfcEntry, { signal, recycles }: ChunkOptions): AsyncGenerator<Buffer> {
  // The decompressor is done with a chunk in time.
  const isBrief = recycles === true || entry.compressed;
  const decrypt = () => (isBrief ? released(decrypted(source, entry, signal)) : decrypted(source, entry, signal));
  const plain = entry.encrypted
    ? decrypt()
    : readChunks(source.file, storedOffset(entry), entry.stored, { signal, recycles: isBrief });
  if (!entry.compressed) return plain;
  const content = decompressStream(plain, entry.size);
  return recycles === true ? released(content) : content;
}

async function* decrypted(source: ContentSource, entry: BfcEntry, signal?: AbortSignal): AsyncGenerator<Buffer> {
  const begin = storedOffset(entry);
  const nonce = await readExactly(source.file, begin, NONCE_BYTES);
  const tag = await readExactly(source.file, begin + entry.stored - TAG_BYTES, TAG_BYTES);
  const encrypted = readChunks(source.file, begin + NONCE_BYTES, entry.stored - ENCRYPTION_BYTES, {
    signal,
    recycles: true,
  });
  yield* decrypt(encrypted, await source.key(entry), entry.path, { nonce, tag });
}

function storedOffset(entry: BfcEntry): number {
  return entry.offset + contentOffset(entry.path.length);
}

async function* namedChunks(
  source: ContentSource,
  entry: BfcEntry,
  chunks: AsyncGenerator<Buffer>,
): AsyncGenerator<Buffer> {
  try {
    yield* chunks;
  } catch (error) {
    throw withPlace(source, entry, error);
  }
}

function withPlace(source: ContentSource, entry: BfcEntry, error: unknown): unknown {
  const place = placeOf(source, entry);
  if (error instanceof ZstdError) return new BfcError('damaged', place, error.message, { cause: error });
  if (!(error instanceof TagMismatch)) return error;
  return new BfcError('key', place, 'cannot be decrypted: the key or password is wrong, or the entry was changed');
}

async function drain(chunks: AsyncIterable<Buffer>): Promise<void> {
  const iterator = chunks[Symbol.asyncIterator]();
  while ((await iterator.next()).done !== true);
}

/** `length` bytes of a stream from `offset` on, after which it is left. */
async function* cut(chunks: AsyncIterable<Buffer>, offset: number, length: number): AsyncGenerator<Buffer> {
  let skip = offset;
  let left = length;
  if (left === 0) return;
  for await (const chunk of chunks) {
    const part = chunk.subarray(Math.min(skip, chunk.length), skip + left);
    skip -= Math.min(skip, chunk.length);
    left -= part.length;
    // The rest of the chunk is used again.
    if (part.length > 0) yield Buffer.from(part);
    if (left === 0) return;
  }
}
