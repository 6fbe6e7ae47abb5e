import type { ByteFile } from './byte-file.ts';

/** Reads up to this size are served from what was read ahead. */
const SMALL_BYTES = 65_536;
/** Bytes that are read ahead, and the most between two reads that follow each other. */
const AHEAD_BYTES = 524_288;

/** A file of which small reads that follow each other, as of all its entries, are made together. */
export class ReadAhead implements ByteFile {
  readonly #file: ByteFile;
  /** What was read ahead, and where it belongs. */
  #block: Buffer = Buffer.alloc(0);
  #start = 0;
  /** Of the last small read. */
  #end = NaN;

  constructor(file: ByteFile) {
    this.#file = file;
  }

  get name(): string {
    return this.#file.name;
  }

  get size(): number {
    return this.#file.size;
  }

  async read(offset: number, length: number, into?: Buffer): Promise<Buffer> {
    if (length > SMALL_BYTES) return this.#file.read(offset, length, into);
    const follows = offset >= this.#end && offset - this.#end < AHEAD_BYTES;
    this.#end = offset + length;
    if (offset >= this.#start && offset + length <= this.#start + this.#block.length) return this.#cut(offset, length);
    if (!follows) return this.#file.read(offset, length, into);
    const block = await this.#file.read(offset, Math.min(AHEAD_BYTES, this.#file.size - offset));
    this.#block = block;
    this.#start = offset;
    return block.subarray(0, length);
  }

  close(): Promise<void> {
    return this.#file.close();
  }

  #cut(offset: number, length: number): Buffer {
    return this.#block.subarray(offset - this.#start, offset - this.#start + length);
  }
}
