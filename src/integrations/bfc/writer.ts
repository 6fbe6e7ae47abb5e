import { type KeyObject, createSecretKey, randomBytes, randomUUID } from 'node:crypto';
import { MAX_ENCRYPTED_BYTES, encrypt, encryptWhole } from './content/cipher.ts';
import { Crc32c, type CrcVariant, crc32c } from './format/crc32c.ts';
import { BfcError, type BfcPlace } from './errors.ts';
import {
  FEATURE_ENCRYPTION,
  FEATURE_ZSTD,
  type ObjectFacts,
  SALT_BYTES,
  contentOffset,
  encodeFooter,
  encodeHeader,
  encodeIndexEntry,
  encodeIndexHead,
  encodeObjectHead,
  padding,
} from './format/layout.ts';
import { type BfcSecret, contentKey } from './key.ts';
import { type UnfinishedFile, createUnfinished } from './files/new-file.ts';
import { released } from './files/byte-file.ts';
import { MAX_TARGET_BYTES } from './format/path-rules.ts';
import { Sink } from './files/sink.ts';
import { WrittenPaths } from './files/written-paths.ts';
import { compressBuffer, compressStream } from './content/zstd.ts';

/** The beginning of a content that is compressed to find out whether that is worth it. */
const SAMPLE_BYTES = 1_048_576;
/** The original's default: content below this is not compressed. */
const THRESHOLD_BYTES = 64;
const BLOCK_SIZE = 4096;

export interface CreateOptions {
  /** Level of zstd, 1 to 22; absent: nothing is compressed. The original's default is 3. */
  compressionLevel?: number | undefined;
  /** Encrypts the content of files. */
  secret?: BfcSecret | undefined;
  /** Which checksum; `raw` unless given. Each build of the original reads one of them only. */
  crc?: CrcVariant | undefined;
  /** Whether an existing file is replaced when this one is finished. */
  replaces?: boolean;
}

/** What an entry says beside its content. */
export interface EntryAttributes {
  /** Permission bits with setuid, setgid and sticky, 0–07777. */
  mode: number;
  /** Nanoseconds since 1970. */
  mtime: bigint;
}

interface Written {
  path: string;
  facts: ObjectFacts;
  offset: number;
  objectSize: number;
}

type FileFacts = Omit<ObjectFacts, 'compressed' | 'crc32c'>;

/**
 * Writes a BFC file: one entry after another, each call awaited before the next. The file has its name only after
 * {@link finish}; after any error it can only be aborted.
 */
export class BfcWriter {
  readonly #file: UnfinishedFile;
  readonly #place: BfcPlace;
  readonly #sink: Sink;
  readonly #crc: CrcVariant;
  readonly #level: number | undefined;
  readonly #key: KeyObject | undefined;
  readonly #paths: WrittenPaths;
  readonly #entries: Written[] = [];
  #state: 'open' | 'busy' | 'failed' | 'ended' = 'open';

  private constructor(path: string, file: UnfinishedFile, options: CreateOptions, key: KeyObject | undefined) {
    this.#file = file;
    this.#place = { file: path };
    this.#sink = new Sink(file.handle);
    this.#crc = options.crc ?? 'raw';
    this.#level = options.compressionLevel;
    this.#key = key;
    this.#paths = new WrittenPaths(path);
  }

  /** See {@link createBfc}. */
  static async create(path: string, options: CreateOptions): Promise<BfcWriter> {
    const { secret, compressionLevel: level } = options;
    if (level !== undefined && !(Number.isInteger(level) && level >= 1 && level <= 22)) {
      throw new BfcError('unsupported', { file: path }, `compression level ${level} is not one from 1 to 22`);
    }
    const salt = secret?.kind === 'password' ? randomBytes(SALT_BYTES) : Buffer.alloc(SALT_BYTES);
    const file = await createUnfinished(path, { replaces: options.replaces ?? false });
    try {
      const key = secret && createSecretKey(await contentKey(secret, salt));
      const writer = new BfcWriter(path, file, options, key);
      const features = (level === undefined ? 0 : FEATURE_ZSTD) | (secret ? FEATURE_ENCRYPTION : 0);
      const uuid = Buffer.from(randomUUID().replaceAll('-', ''), 'hex');
      await writer.#sink.write(encodeHeader({ crc: writer.#crc, blockSize: BLOCK_SIZE, features, uuid, salt }));
      return writer;
    } catch (error) {
      await file.discard();
      throw error;
    }
  }

  /**
   * Adds a file of `size` bytes, which `content` must have. Up to 1 MiB are in memory; of more, the first 1 MiB decides whether it is
   * compressed, and the content passes through. A chunk is not used any more when the one after the next is asked for.
   * @param path its bytes as a Latin-1 string.
   * @throws BfcError for a bad or taken path, and for a content of another size; what `content` throws.
   */
  addFile(
    path: string,
    { size, mode, mtime }: EntryAttributes & { size: number },
    content: Buffer | AsyncIterable<Buffer> | Iterable<Buffer>,
  ): void | Promise<void> {
    return this.#add(() => {
      this.#paths.add(path, 'file');
      const encrypted = this.#key !== undefined;
      const file = { type: 'file', mode: this.#mode(path, mode), mtime, size, encrypted } as const;
      if (encrypted && size > MAX_ENCRYPTED_BYTES - SAMPLE_BYTES) {
        throw new BfcError('limit', { ...this.#place, entry: path }, `has ${size} bytes; 256 GiB can be encrypted`);
      }
      if (!Buffer.isBuffer(content)) return this.#passing(path, file, content);
      if (size > SAMPLE_BYTES) return this.#passing(path, file, [content]);
      this.#checkLength(path, size, content.length);
      return this.#whole(path, file, content, crc32c(this.#crc, content));
    });
  }

  /** Adds a directory. The directories that a path is in need no entries. @throws BfcError for a bad or taken path. */
  async addDirectory(path: string, { mode, mtime }: EntryAttributes): Promise<void> {
    await this.#add(async () => {
      this.#paths.add(path, 'directory');
      const facts = { type: 'directory', mode: this.#mode(path, mode), mtime, size: 0 } as const;
      await this.#put(path, { ...facts, compressed: false, encrypted: false, crc32c: 0 }, []);
    });
  }

  /** Adds a symlink. Its target is neither compressed nor encrypted. @throws BfcError for a bad or taken path, or a bad target. */
  async addSymlink(path: string, target: Buffer, { mode, mtime }: EntryAttributes): Promise<void> {
    await this.#add(async () => {
      this.#paths.add(path, 'symlink');
      if (target.length === 0 || target.length > MAX_TARGET_BYTES || target.includes(0)) {
        throw new BfcError(
          'name',
          { ...this.#place, entry: path },
          `the target of the symlink must have 1 to ${MAX_TARGET_BYTES} bytes and no NUL`,
        );
      }
      const facts = { type: 'symlink', mode: this.#mode(path, mode), mtime, size: target.length } as const;
      const sum = crc32c(this.#crc, target);
      await this.#put(
        path,
        { ...facts, compressed: false, encrypted: false, crc32c: sum },
        [target],
        padding(target.length),
      );
    });
  }

  /** Writes index and footer, makes the file durable, and gives it its name. @returns its size. @throws BfcError `exists` */
  async finish(): Promise<{ size: number; entries: number }> {
    await this.#add(async () => {
      await this.#index();
      await this.#sink.flush();
      await this.#file.publish();
    });
    this.#state = 'ended';
    return { size: this.#sink.position, entries: this.#entries.length };
  }

  /** Removes what was written; nothing after {@link finish}. */
  async abort(): Promise<void> {
    if (this.#state === 'ended') return;
    this.#state = 'ended';
    await this.#file.discard();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.abort();
  }

  #add(work: () => void | Promise<void>): void | Promise<void> {
    if (this.#state !== 'open') throw new Error(`${this.#place.file}: cannot be written, the writer is ${this.#state}`);
    this.#state = 'busy';
    try {
      const later = work();
      if (later) return this.#until(later);
      this.#state = 'open';
      return undefined;
    } catch (error) {
      this.#state = 'failed';
      throw error;
    }
  }

  async #until(later: Promise<void>): Promise<void> {
    try {
      await later;
      this.#state = 'open';
    } catch (error) {
      this.#state = 'failed';
      throw error;
    }
  }

  #mode(path: string, mode: number): number {
    if (Number.isInteger(mode) && mode >= 0 && mode <= 0o7777) return mode;
    throw new BfcError(
      'unsupported',
      { ...this.#place, entry: path },
      `its mode ${mode} has more than permission bits`,
    );
  }

  /** Writes the object of a file whose content passes. */
  async #passing(path: string, file: FileFacts, content: AsyncIterable<Buffer> | Iterable<Buffer>): Promise<void> {
    const sum = new Crc32c(this.#crc);
    const { size } = file;
    const chunks = this.#counted(path, size, content)[Symbol.asyncIterator]();
    const first = await take(chunks, Math.min(SAMPLE_BYTES, size), sum);
    const rest = restOf(chunks, sum);
    if (size > first.length) {
      const { compressed, chunks: stored } = await this.#compress(size, first, rest);
      await this.#object(path, { ...file, compressed, crc32c: 0 }, stored, sum);
      return;
    }
    // It has no more bytes than it should.
    await rest.next();
    await this.#whole(path, file, first, sum.value);
  }

  /** Writes the object of a file whose content is in memory. */
  #whole(path: string, file: FileFacts, content: Buffer, sum: number): void | Promise<void> {
    const store = (packed: Buffer) => {
      const stored = this.#key ? encryptWhole(packed, this.#key, path) : [packed];
      return this.#put(path, { ...file, compressed: packed !== content, crc32c: sum }, stored);
    };
    const packed = this.#level === undefined ? content : this.#smaller(content, this.#level);
    return packed instanceof Promise ? packed.then(store) : store(packed);
  }

  /** Writes an object of which everything is known. `behind`: zeros behind its content. */
  #put(path: string, facts: ObjectFacts, stored: Buffer[], behind = 0): void | Promise<void> {
    let length = 0;
    for (const part of stored) length += part.length;
    const offset = this.#sink.position;
    const objectSize = contentOffset(path.length) + length + behind;
    this.#entries.push({ path, facts, offset, objectSize });
    const head = encodeObjectHead(path, facts, length);
    // Copied, as others may make heads and frames before it is written.
    if (!this.#sink.hasRoom(objectSize)) {
      return this.#sink.write(Buffer.concat([head, ...stored, Buffer.alloc(behind)]));
    }
    this.#sink.put(head);
    for (const part of stored) this.#sink.put(part);
    if (behind > 0) this.#sink.put(Buffer.alloc(behind));
    return undefined;
  }

  /** A content as it is, or compressed where that makes it smaller. */
  #smaller(content: Buffer, level: number): Buffer | Promise<Buffer> {
    if (content.length < THRESHOLD_BYTES) return content;
    const choose = (compressed: Buffer) => (compressed.length < content.length ? compressed : content);
    const compressed = compressBuffer(content, level);
    return compressed instanceof Promise ? compressed.then(choose) : choose(compressed);
  }

  /** Writes an object around a content that passes; sizes and checksum are put into its header when they are known. */
  async #object(path: string, facts: ObjectFacts, content: AsyncIterable<Buffer>, sum: Crc32c): Promise<void> {
    const offset = this.#sink.position;
    const head = Buffer.from(encodeObjectHead(path, facts, 0));
    await this.#sink.write(head);
    const begin = this.#sink.position;
    const chunks = facts.encrypted && this.#key ? released(encrypt(content, this.#key, path)) : content;
    for await (const chunk of chunks) await this.#sink.write(chunk);
    const stored = this.#sink.position - begin;
    const known = { ...facts, crc32c: sum.value };
    await this.#sink.replace(offset, Buffer.from(encodeObjectHead(path, known, stored)));
    this.#entries.push({ path, facts: known, offset, objectSize: head.length + stored });
  }

  /** Compresses content of which the beginning becomes smaller. */
  async #compress(
    size: number,
    first: Buffer,
    rest: AsyncGenerator<Buffer>,
  ): Promise<{ compressed: boolean; chunks: AsyncIterable<Buffer> }> {
    const chunks = joined(first, rest);
    if (this.#level === undefined || (await this.#smaller(first, this.#level)) === first) {
      return { compressed: false, chunks };
    }
    return { compressed: true, chunks: released(compressStream(chunks, size, this.#level)) };
  }

  #checkLength(path: string, size: number, length: number): void {
    if (length === size) return;
    const what = length > size ? `is longer than ${size} bytes` : `ends ${size - length} bytes before ${size}`;
    throw new BfcError('malformed', { ...this.#place, entry: path }, `its content ${what}; it was changed meanwhile`);
  }

  async *#counted(
    path: string,
    size: number,
    content: AsyncIterable<Buffer> | Iterable<Buffer>,
  ): AsyncGenerator<Buffer> {
    let length = 0;
    for await (const chunk of content) {
      length += chunk.length;
      if (length > size) this.#checkLength(path, size, length);
      if (chunk.length > 0) yield chunk;
    }
    this.#checkLength(path, size, length);
  }

  async #index(): Promise<void> {
    this.#entries.sort((a, b) => (a.path < b.path ? -1 : 1));
    const indexOffset = this.#sink.position;
    const sum = new Crc32c(this.#crc);
    const head = encodeIndexHead(this.#entries.length);
    sum.update(head);
    await this.#sink.write(head);
    for (const { path, facts, offset, objectSize } of this.#entries) {
      const entry = encodeIndexEntry(path, facts, offset, objectSize);
      sum.update(entry);
      if (this.#sink.hasRoom(entry.length)) this.#sink.put(entry);
      else await this.#sink.write(Buffer.from(entry));
    }
    const indexSize = this.#sink.position - indexOffset;
    await this.#sink.write(encodeFooter({ indexOffset, indexSize, indexCrc: sum.value }));
  }
}

/** The first `count` bytes of a stream. */
async function take(chunks: AsyncIterator<Buffer>, count: number, sum: Crc32c): Promise<Buffer> {
  const parts: Buffer[] = [];
  let length = 0;
  while (length < count) {
    const next = await chunks.next();
    if (next.done === true) break;
    sum.update(next.value);
    // It may be used again.
    parts.push(Buffer.from(next.value));
    length += next.value.length;
  }
  return Buffer.concat(parts);
}

async function* restOf(chunks: AsyncIterator<Buffer>, sum: Crc32c): AsyncGenerator<Buffer> {
  for (let next = await chunks.next(); next.done !== true; next = await chunks.next()) {
    sum.update(next.value);
    yield next.value;
  }
}

async function* joined(first: Buffer, rest: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  yield first;
  yield* rest;
}

/**
 * Creates a BFC file. It is written beside `path`, under a name that ends in `.partial`, and gets its own when it is finished.
 * @throws BfcError when the name is taken, or no file can be created there.
 */
export function createBfc(path: string, options: CreateOptions = {}): Promise<BfcWriter> {
  return BfcWriter.create(path, options);
}
