import type { FileHandle } from 'node:fs/promises';

/** Bytes that are gathered before they are written. */
const BUFFER_BYTES = 1_048_576;

/** Writes a file from its beginning to its end, and what was left open in it. */
export class Sink {
  readonly #file: FileHandle;
  readonly #buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES);
  #buffered = 0;
  /** Where the buffer belongs. */
  #written = 0;

  constructor(file: FileHandle) {
    this.#file = file;
  }

  /** Where the next byte comes. */
  get position(): number {
    return this.#written + this.#buffered;
  }

  /** Whether so many bytes can be {@link put}. */
  hasRoom(length: number): boolean {
    return length < BUFFER_BYTES - this.#buffered;
  }

  /** Gathers bytes for which there is room. */
  put(bytes: Buffer): void {
    this.#buffered += bytes.copy(this.#buffer, this.#buffered);
  }

  async write(bytes: Buffer): Promise<void> {
    for (let at = 0; at < bytes.length;) {
      const copied = bytes.copy(this.#buffer, this.#buffered, at);
      at += copied;
      this.#buffered += copied;
      if (this.#buffered === BUFFER_BYTES) await this.flush();
    }
  }

  /** Replaces bytes that were written before, all of them either gathered or in the file, or on both sides. */
  async replace(position: number, bytes: Buffer): Promise<void> {
    if (position < this.#written) await this.flush();
    if (position < this.#written) await this.#put(bytes, bytes.length, position);
    else bytes.copy(this.#buffer, position - this.#written);
  }

  /** Hands everything to the kernel. */
  async flush(): Promise<void> {
    await this.#put(this.#buffer, this.#buffered, this.#written);
    this.#written += this.#buffered;
    this.#buffered = 0;
  }

  async #put(bytes: Buffer, length: number, position: number): Promise<void> {
    for (let at = 0; at < length;) {
      const { bytesWritten } = await this.#file.write(bytes, at, length - at, position + at);
      at += bytesWritten;
    }
  }
}
