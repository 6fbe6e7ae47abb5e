import { Duplex } from 'node:stream';
import type { SpdyHeaders } from './header-block.ts';
import { FrameKind, MAX_DATA_BYTES, ResetStatus, controlFrame, dataHeader } from './frames.ts';

/** Bytes that a stream buffers for a slow reader before the whole connection waits: Kubernetes' SPDY has no windows. */
const RECEIVE_BYTES = 262_144;

/** The connection of a stream. */
export interface FrameSink {
  /** Writes frames; `done` is called when they are written to the socket, or with the error that ended the connection. */
  write(frames: readonly Buffer[], done: (error?: Error | null) => void): void;
  /** The bytes that a stream holds for its reader are more by `bytes`, or fewer. */
  holds(bytes: number): void;
  readonly closed: boolean;
}

/** One stream of a SPDY connection. Each direction ends separately; destroying it earlier resets it at the peer. */
export class SpdyStream extends Duplex {
  readonly id: number;
  readonly headers: SpdyHeaders;
  readonly #sink: FrameSink;
  #wake: (() => void) | undefined;
  #peerEnded = false;
  #peerReset = false;
  /** Bytes for the reader, as the sink knows them. */
  #held = 0;

  constructor(id: number, headers: SpdyHeaders, sink: FrameSink) {
    super({ readableHighWaterMark: RECEIVE_BYTES });
    this.id = id;
    this.headers = headers;
    this.#sink = sink;
    // A lost connection ends every stream; its readers and writers receive the error.
    this.on('error', () => undefined);
  }

  /** Receives data. @returns undefined when there is room for more, else a promise of it. */
  receive(data: Buffer, fin: boolean): Promise<void> | undefined {
    if (this.#peerEnded || this.destroyed) return undefined;
    const room = data.length === 0 || this.push(data);
    this.#count(this.readableLength);
    if (fin) {
      this.#peerEnded = true;
      this.push(null);
      return undefined;
    }
    if (room) return undefined;
    return new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
  }

  /** The peer has reset the stream. */
  reset(status: number): void {
    this.#peerReset = true;
    this.destroy(new Error(`the peer reset the stream (status ${String(status)})`));
  }

  override read(size?: number): unknown {
    const chunk: unknown = super.read(size);
    if (!this.destroyed) this.#count(this.readableLength);
    return chunk;
  }

  #count(held: number): void {
    const before = this.#held;
    this.#held = held;
    if (held !== before) this.#sink.holds(held - before);
  }

  override _read(): void {
    this.#wake?.();
    this.#wake = undefined;
  }

  override _write(chunk: Buffer, _: BufferEncoding, done: (error?: Error | null) => void): void {
    const frames: Buffer[] = [];
    for (let at = 0; at < chunk.length; at += MAX_DATA_BYTES) {
      const piece = chunk.subarray(at, at + MAX_DATA_BYTES);
      frames.push(dataHeader(this.id, piece.length, false), piece);
    }
    this.#sink.write(frames, done);
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#sink.write([dataHeader(this.id, 0, true)], done);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this._read();
    this.#count(0);
    const whole = this.writableFinished && this.#peerEnded;
    if (!whole && !this.#peerReset && !this.#sink.closed) {
      this.#sink.write([controlFrame(FrameKind.RST_STREAM, 0, [this.id, ResetStatus.CANCEL])], () => undefined);
    }
    done(error);
  }
}
