import { TarError } from './header.ts';

/** Reads an async stream of buffers by counts of bytes. */
export class ByteSource {
  readonly #iterator: AsyncIterator<Buffer>;
  #chunk: Buffer = Buffer.alloc(0);
  #ended = false;
  #offset = 0;

  constructor(chunks: AsyncIterable<Buffer>) {
    this.#iterator = chunks[Symbol.asyncIterator]();
  }

  /** Exactly `count` bytes; undefined at the end of the stream. @throws TarError when it ends within them. */
  async read(count: number): Promise<Buffer | undefined> {
    if (this.#chunk.length === 0 && !(await this.#fill())) return undefined;
    if (this.#chunk.length >= count) return this.#take(count);
    const parts: Buffer[] = [];
    for (let missing = count; missing > 0;) {
      if (this.#chunk.length === 0 && !(await this.#fill())) throw new TarError('truncated archive');
      const part = this.#take(Math.min(missing, this.#chunk.length));
      missing -= part.length;
      parts.push(part);
    }
    return Buffer.concat(parts, count);
  }

  /** Number of bytes returned or dropped so far. */
  get offset(): number {
    return this.#offset;
  }

  /** The next `count` bytes in chunks as they arrive. @throws TarError when the stream ends within them. */
  async *chunks(count: number): AsyncGenerator<Buffer> {
    for (let missing = count; missing > 0;) {
      if (this.#chunk.length === 0 && !(await this.#fill())) throw new TarError('truncated archive');
      const part = this.#take(Math.min(missing, this.#chunk.length));
      missing -= part.length;
      yield part;
    }
  }

  /** Drops the next `count` bytes. @throws TarError when the stream ends before. */
  async skip(count: number): Promise<void> {
    for (let missing = count; missing > 0;) {
      if (this.#chunk.length === 0 && !(await this.#fill())) throw new TarError('truncated archive');
      missing -= this.#take(Math.min(missing, this.#chunk.length)).length;
    }
  }

  /** Reads to the end of the stream and drops the data. */
  async drain(): Promise<void> {
    this.#chunk = Buffer.alloc(0);
    while (await this.#fill()) this.#chunk = Buffer.alloc(0);
  }

  async close(): Promise<void> {
    if (!this.#ended) await this.#iterator.return?.();
    this.#ended = true;
  }

  #take(count: number): Buffer {
    const part = this.#chunk.subarray(0, count);
    this.#chunk = this.#chunk.subarray(count);
    this.#offset += count;
    return part;
  }

  async #fill(): Promise<boolean> {
    while (!this.#ended) {
      const next = await this.#iterator.next();
      if (next.done === true) this.#ended = true;
      else if (next.value.length > 0) {
        this.#chunk = next.value;
        return true;
      }
    }
    return false;
  }
}
