/** A kind of frames: a header of a fixed size that gives the size of what follows it. */
export interface Framing {
  headerBytes: number;
  /** Bytes after the header. @throws when they are more than a frame may have. */
  bodyBytes: (header: Buffer) => number;
}

/**
 * Splits a stream of bytes into frames. It holds one header and one body at most, whatever the sizes of the pieces are in
 * which they come.
 */
export class FrameReader {
  readonly #framing: Framing;
  readonly #onFrame: (header: Buffer, body: Buffer) => void;
  readonly #header: Buffer;
  #body: Buffer | undefined;
  #filled = 0;

  /** @param onFrame called for each frame; the header is overwritten after it returns, the body is the callee's. */
  constructor(framing: Framing, onFrame: (header: Buffer, body: Buffer) => void) {
    this.#framing = framing;
    this.#onFrame = onFrame;
    this.#header = Buffer.alloc(framing.headerBytes);
  }

  /** Takes the next bytes of the stream. @throws as the framing and `onFrame`; the stream is useless then. */
  push(bytes: Buffer): void {
    let at = 0;
    while (at < bytes.length) {
      const target = this.#body ?? this.#header;
      const copied = bytes.copy(target, this.#filled, at);
      at += copied;
      this.#filled += copied;
      if (this.#filled === target.length) this.#complete();
    }
  }

  #complete(): void {
    this.#filled = 0;
    if (this.#body === undefined) {
      const length = this.#framing.bodyBytes(this.#header);
      this.#body = Buffer.allocUnsafeSlow(length);
      if (length > 0) return;
    }
    const body = this.#body;
    this.#body = undefined;
    this.#onFrame(this.#header, body);
  }
}
