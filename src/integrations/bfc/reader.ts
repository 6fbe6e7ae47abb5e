import { type KeyObject, createSecretKey } from 'node:crypto';
import { type ByteFile, type ChunkOptions, openByteFile, readExactly } from './files/byte-file.ts';
import { ReadAhead } from './files/read-ahead.ts';
import { type BfcEntry, ContainerIndex } from './format/container-index.ts';
import {
  type ContentSource,
  type RatioLimits,
  authenticate,
  checkDirectory,
  contentRange,
  isSmall,
  placeOf,
  readWhole,
  streamContent,
} from './content/entry-content.ts';
import { crc32c } from './format/crc32c.ts';
import { BfcError } from './errors.ts';
import {
  FOOTER_BYTES,
  HEADER_BYTES,
  type Header,
  INDEX_HEAD_BYTES,
  decodeFooter,
  decodeHeader,
  isHeader,
} from './format/layout.ts';
import { type BfcSecret, contentKey } from './key.ts';

/** Bounds of what a file may ask of this process. */
export interface BfcLimits extends RatioLimits {
  /** Of the index, which is in memory while the file is open. An entry has 52 bytes and its path. */
  maxIndexBytes: number;
}

/** The ratio is that of layers of images. */
const LIMITS: BfcLimits = { maxIndexBytes: 128 * 2 ** 20, maxRatio: 200, unsuspiciousBytes: 2 ** 30 };

export interface OpenOptions {
  /** For encrypted entries. Listing needs none. */
  secret?: BfcSecret | undefined;
  limits?: Partial<BfcLimits>;
}

export interface ReadOptions {
  signal?: AbortSignal | undefined;
}

/** An open BFC file. Its entries can be read side by side. */
export class BfcReader {
  /** Its size in bytes. */
  readonly size: number;
  readonly header: Header;
  /** All entries. */
  readonly index: ContainerIndex;
  readonly #source: ContentSource;
  /** Offsets of encrypted objects whose tags were checked. */
  readonly #authentic = new Set<number>();
  #key: KeyObject | Promise<KeyObject> | undefined;

  private constructor(file: ByteFile, header: Header, index: ContainerIndex, options: OpenOptions) {
    this.size = file.size;
    this.header = header;
    this.index = index;
    const limits = { ...LIMITS, ...options.limits };
    this.#source = {
      file,
      ahead: new ReadAhead(file),
      crc: header.crc,
      limits,
      key: (entry) => this.#keyFor(entry, options.secret),
    };
  }

  /** Reads header and index only. See {@link openBfc}. The file is the caller's to close when this throws. */
  static async of(file: ByteFile, options: OpenOptions = {}): Promise<BfcReader> {
    const place = { file: file.name };
    const first = await file.read(0, Math.min(HEADER_BYTES, file.size));
    if (!isHeader(first)) throw new BfcError('not-bfc', place, 'is not a BFC file');
    if (file.size < HEADER_BYTES + INDEX_HEAD_BYTES + FOOTER_BYTES) {
      throw new BfcError('truncated', place, `has ${file.size} bytes only; copy it again`);
    }
    const offset = file.size - FOOTER_BYTES;
    const footer = decodeFooter(await readExactly(file, offset, FOOTER_BYTES), file.size, place);
    const header = decodeHeader(first, place);
    const maxIndexBytes = options.limits?.maxIndexBytes ?? LIMITS.maxIndexBytes;
    if (footer.indexSize > maxIndexBytes) {
      throw new BfcError('limit', place, `its index has ${footer.indexSize} bytes; at most ${maxIndexBytes} are read`);
    }
    const bytes = await readExactly(file, footer.indexOffset, footer.indexSize);
    const indexPlace = { ...place, offset: footer.indexOffset };
    if (crc32c(header.crc, bytes) !== footer.indexCrc) {
      throw new BfcError('damaged', indexPlace, 'the index is damaged: wrong checksum');
    }
    return new BfcReader(file, header, ContainerIndex.parse(bytes, indexPlace), options);
  }

  /** Path of the file. */
  get name(): string {
    return this.#source.file.name;
  }

  /** The entry of a path, its bytes as a Latin-1 string. @throws BfcError when there is none. */
  get(path: string): BfcEntry {
    const entry = this.index.find(path);
    if (!entry) throw new BfcError('not-found', { file: this.name, entry: path }, 'does not exist');
    return entry;
  }

  /**
   * The content of a file, or the target of a symlink. Nothing of up to 1 MiB is given out before all of it was checked. More than
   * that is checked against its checksum at its end; of encrypted content the tag is checked before the first byte, for which it is
   * read twice.
   * @throws BfcError; the signal's reason.
   */
  async *read(entry: BfcEntry, { signal }: ReadOptions = {}): AsyncGenerator<Buffer> {
    if (entry.encrypted && !isSmall(entry)) await this.#authenticate(entry, signal);
    yield* this.readStaged(entry, { signal });
  }

  /**
   * As {@link read} in one pass: also the tag of encrypted content above 1 MiB is checked at its end. For callers that use
   * nothing of it before that, as when they write a file that gets its name afterwards, or check a digest.
   */
  async *readStaged(entry: BfcEntry, { signal, recycles }: ChunkOptions = {}): AsyncGenerator<Buffer> {
    if (entry.type === 'directory') throw new BfcError('name', placeOf(this.#source, entry), 'is a directory');
    signal?.throwIfAborted();
    if (!isSmall(entry)) {
      yield* streamContent(this.#source, entry, { signal, recycles });
      return;
    }
    const found = this.readSmall(entry);
    const content = found instanceof Promise ? await found : Buffer.from(found);
    if (content.length > 0) yield content;
  }

  /**
   * As {@link readStaged}, of a content that {@link isSmall} or of a symlink: at once where its object was read with the one before.
   * What it returns at once is valid only until anything else is read or written. @throws BfcError, also at once
   */
  readSmall(entry: BfcEntry): Buffer | Promise<Buffer> {
    return readWhole(this.#source, entry);
  }

  /**
   * `length` bytes of a file's content from `offset` on. Of content that is neither compressed nor encrypted only these are read,
   * and nothing covers them: the checksum is of the whole. Encrypted content is authenticated first, once while the file is open;
   * compressed content is decompressed from its beginning.
   * @throws BfcError also for a range outside the content; the signal's reason.
   */
  async *range(entry: BfcEntry, offset: number, length: number, { signal }: ReadOptions = {}): AsyncGenerator<Buffer> {
    const isInside = Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0;
    if (entry.type !== 'file' || !isInside || offset + length > entry.size) {
      const what = `has no ${length} bytes from ${offset} on: it is a ${entry.type} of ${entry.size} bytes`;
      throw new BfcError('name', placeOf(this.#source, entry), what);
    }
    if (entry.encrypted) await this.#authenticate(entry, signal);
    yield* contentRange(this.#source, entry, { offset, length }, signal);
  }

  /**
   * Reads an entry and checks everything that covers it: header, name and padding of its object, tag, checksum, size.
   * @param counted gets the bytes of each piece of its content. @throws BfcError; the signal's reason.
   */
  async check(
    entry: BfcEntry,
    { signal, counted }: ReadOptions & { counted?: (bytes: number) => void } = {},
  ): Promise<void> {
    if (entry.type === 'directory') await checkDirectory(this.#source, entry);
    else if (isSmall(entry)) counted?.((await this.readSmall(entry)).length);
    else for await (const chunk of this.readStaged(entry, { signal, recycles: true })) counted?.(chunk.length);
  }

  /**
   * Reads the smallest encrypted entry, to find out whether the key is right before there is much work with it.
   * @throws BfcError `key` when it is not, or when there is none and one is needed.
   */
  async checkKey(): Promise<void> {
    let smallest: BfcEntry | undefined;
    for (const entry of this.index) {
      if (entry.encrypted && entry.stored < (smallest?.stored ?? Infinity)) smallest = entry;
    }
    if (smallest) await this.#authenticate(smallest, undefined);
  }

  async close(): Promise<void> {
    await this.#source.file.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #authenticate(entry: BfcEntry, signal: AbortSignal | undefined): Promise<void> {
    if (this.#authentic.has(entry.offset)) return;
    await authenticate(this.#source, entry, signal);
    this.#authentic.add(entry.offset);
  }

  #keyFor(entry: BfcEntry, secret: BfcSecret | undefined): KeyObject | Promise<KeyObject> {
    const isSalted = this.header.salt.some((byte) => byte !== 0);
    if (secret?.kind === 'password' && !isSalted) {
      throw new BfcError('key', placeOf(this.#source, entry), 'is encrypted with a key file, not with a password');
    }
    if (secret === undefined || (secret.kind === 'key' && isSalted)) {
      const [needed, given] = isSalted ? ['password', 'key file'] : ['key file', 'password'];
      const instead = secret === undefined ? '' : `, not with a ${given}`;
      throw new BfcError('key', placeOf(this.#source, entry), `is encrypted with a ${needed}${instead}`);
    }
    return (this.#key ??= this.#makeKey(secret));
  }

  async #makeKey(secret: BfcSecret): Promise<KeyObject> {
    this.#key = createSecretKey(await contentKey(secret, this.header.salt));
    return this.#key;
  }
}

/**
 * Opens a BFC file for reading: checks its header, its index and every entry of it, and reads no object, so that it takes the same
 * time for any size of the contents.
 * @throws BfcError for what is wrong with the file; CriError INVALID_ARGUMENT when it cannot be read.
 */
export async function openBfc(path: string, options: OpenOptions = {}): Promise<BfcReader> {
  const file = await openByteFile(path);
  try {
    return await BfcReader.of(file, options);
  } catch (error) {
    await file.close();
    throw error;
  }
}
