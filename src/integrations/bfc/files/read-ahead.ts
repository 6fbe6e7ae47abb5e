import type { ByteFile } from './byte-file.ts';

/** Reads up to this size are served from what was read ahead. */
const SMALL_BYTES = 262_144;
/** Bytes that are read ahead, and the most between two reads that follow each other. */
const AHEAD_BYTES = 1_048_576;

/** A file of which small reads that follow each other, as of all its entries, are made together. */
export class ReadAhead implements ByteFile {
  readonly #file: ByteFile;
  #buffer: Buffer | undefined;
  /** What was read ahead, in the buffer, and where it belongs. */
  #block: Buffer = Buffer.alloc(0);
  #start = 0;
  #isReading = false;
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

  /** Bytes that were read ahead, as they are in the buffer until the next read; undefined for others. */
  ready(offset: number, length: number): Buffer | undefined {
    if (!this.#has(offset, length)) return undefined;
    this.#end = offset + length;
    return this.#block.subarray(offset - this.#start, this.#end - this.#start);
  }

  async read(offset: number, length: number): Promise<Buffer> {
    if (length > SMALL_BYTES) return this.#file.read(offset, length);
    const follows = offset >= this.#end && offset - this.#end < AHEAD_BYTES;
    this.#end = offset + length;
    if (!this.#has(offset, length)) {
      if (!follows || this.#isReading) return this.#file.read(offset, length);
      await this.#readAhead(offset);
    }
    // The buffer is filled again.
    return Buffer.from(this.#block.subarray(offset - this.#start, offset - this.#start + length));
  }

  close(): Promise<void> {
    return this.#file.close();
  }

  #has(offset: number, length: number): boolean {
    return offset >= this.#start && offset + length <= this.#start + this.#block.length;
  }

  async #readAhead(offset: number): Promise<void> {
    const length = Math.min(AHEAD_BYTES, this.#file.size - offset);
    const buffer = (this.#buffer ??= Buffer.allocUnsafeSlow(Math.min(AHEAD_BYTES, this.#file.size)));
    this.#block = Buffer.alloc(0);
    this.#isReading = true;
    try {
      this.#block = await this.#file.read(offset, length, buffer.subarray(0, length));
      this.#start = offset;
    } finally {
      this.#isReading = false;
    }
  }
}
