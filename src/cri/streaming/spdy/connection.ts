import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import { beatWhile } from '../heartbeat.ts';
import { FLAG_FIN, FrameDecoder, FrameKind, ResetStatus, SpdyError, controlFrame, dataHeader } from './frames.ts';
import type { Frame } from './frames.ts';
import { HeaderReader, HeaderWriter } from './header-block.ts';
import { SpdyStream } from './stream.ts';
import type { FrameSink } from './stream.ts';

/** Maximum number of open streams on one connection; kubectl port-forward opens two for each forwarded connection. */
const MAX_STREAMS = 2000;
/** Bytes that all streams together hold for slow readers before the connection waits. */
const MAX_HELD_BYTES = 4 * 1_048_576;

/**
 * The server end of a SPDY/3.1 connection as Kubernetes uses it: only the client opens streams, TCP is the only flow control,
 * SETTINGS and WINDOW_UPDATE have no effect.
 */
export class SpdyConnection {
  readonly #socket: Duplex;
  readonly #onStream: (stream: SpdyStream) => boolean;
  readonly #decoder = new FrameDecoder();
  readonly #headers = new HeaderReader();
  readonly #replies = new HeaderWriter();
  readonly #streams = new Map<number, SpdyStream>();
  readonly #sink: FrameSink;
  #lastId = 0;
  #heldBytes = 0;
  #wake: (() => void) | undefined;

  /** `onStream` receives every stream and returns whether it accepts it; the client is notified before it receives data. */
  constructor(socket: Duplex, onStream: (stream: SpdyStream) => boolean) {
    this.#socket = socket;
    this.#onStream = onStream;
    this.#sink = {
      get closed() {
        return !socket.writable;
      },
      write: (frames, done) => {
        this.#write(frames, done);
      },
      holds: (bytes) => {
        this.#heldBytes += bytes;
        if (this.#heldBytes <= MAX_HELD_BYTES) this.#wake?.();
      },
    };
  }

  /**
   * Serves the connection until the peer closes it. Open streams are then destroyed.
   * @throws SpdyError when the peer violates the protocol, or the socket's error.
   */
  async run(): Promise<void> {
    let failure: Error | undefined;
    // A loop that waits for a slow reader does not notice the end of the socket.
    this.#socket.once('close', () => {
      for (const stream of this.#streams.values()) stream.destroy(failure ?? new Error('the connection was closed'));
    });
    try {
      for await (const chunk of this.#socket as AsyncIterable<Buffer>) {
        for (const frame of this.#decoder.decode(chunk)) {
          if (frame.type === 'control') await this.#control(frame);
          else {
            const room = this.#data(frame);
            if (room !== undefined) await beatWhile(room, this.#beat);
            if (this.#heldBytes > MAX_HELD_BYTES) await beatWhile(this.#readersCaughtUp(), this.#beat);
          }
        }
      }
    } catch (error) {
      failure = error instanceof Error ? error : new Error(String(error));
      throw failure;
    } finally {
      this.#socket.destroy();
      this.#headers.close();
      if (this.#socket.closed) for (const stream of this.#streams.values()) stream.destroy(failure);
    }
  }

  /** @returns a promise of room when the stream's reader is slow. */
  #data({ streamId, data, fin }: Frame & { type: 'data' }): Promise<void> | undefined {
    const stream = this.#streams.get(streamId);
    // Discards data in flight of an ended stream.
    if (stream === undefined && streamId > this.#lastId) {
      throw new SpdyError('data for a stream that was never opened');
    }
    return stream?.receive(data, fin);
  }

  /** Each stream of many may hold less than its own bound: a reader that is too slow, or a stream that waits for its pair. */
  async #readersCaughtUp(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    this.#wake = undefined;
  }

  /**
   * Writes an empty frame, unless one is pending. Not a PING: clients whose writes are blocked stop reading when they reply to
   * one.
   */
  readonly #beat = (): void => {
    const stream = [...this.#streams.values()].find(({ writableEnded, destroyed }) => !writableEnded && !destroyed);
    if (stream === undefined || !this.#socket.writable || this.#socket.writableLength > 0) return;
    this.#socket.write(dataHeader(stream.id, 0, false));
  };

  async #control({ kind, flags, payload }: Frame & { type: 'control' }): Promise<void> {
    if (kind === FrameKind.SYN_STREAM) await this.#open(flags, payload);
    else if (kind === FrameKind.RST_STREAM) this.#streams.get(idOf(payload))?.reset(word(payload, 4));
    else if (kind === FrameKind.PING) await this.#ping(payload);
    else if (kind === FrameKind.HEADERS || kind === FrameKind.SYN_REPLY) {
      // Their content is ignored, but the decompression needs every block.
      await this.#headers.read(payload.subarray(4));
      if ((flags & FLAG_FIN) !== 0) void this.#streams.get(idOf(payload))?.receive(Buffer.alloc(0), true);
    }
  }

  async #open(flags: number, payload: Buffer): Promise<void> {
    if (payload.length < 10) throw new SpdyError('SYN_STREAM too short');
    const id = idOf(payload);
    const headers = await this.#headers.read(payload.subarray(10));
    if (id % 2 === 0 || id <= this.#lastId) throw new SpdyError(`unexpected stream id ${String(id)}`);
    this.#lastId = id;
    if (this.#streams.size >= MAX_STREAMS) {
      await this.#reply(controlFrame(FrameKind.RST_STREAM, 0, [id, ResetStatus.REFUSED_STREAM]));
      return;
    }
    const stream = new SpdyStream(id, headers, this.#sink);
    this.#streams.set(id, stream);
    stream.once('close', () => this.#streams.delete(id));
    await this.#reply(controlFrame(FrameKind.SYN_REPLY, 0, [id], this.#replies.write(new Map())));
    if ((flags & FLAG_FIN) !== 0) void stream.receive(Buffer.alloc(0), true);
    if (!this.#onStream(stream)) stream.destroy();
  }

  async #ping(payload: Buffer): Promise<void> {
    const id = word(payload, 0);
    // Even ids are replies to pings of the server, which sends none.
    if (id % 2 === 1) await this.#reply(controlFrame(FrameKind.PING, 0, [id]));
  }

  /** Sends a reply, and reads on only when the peer has read it: a flood must not fill the memory. */
  async #reply(frame: Buffer): Promise<void> {
    if (!this.#socket.writable || this.#socket.write(frame)) return;
    const given = new AbortController();
    await Promise.race([
      once(this.#socket, 'drain', { signal: given.signal }),
      once(this.#socket, 'close', { signal: given.signal }),
    ]).catch(() => undefined);
    given.abort();
  }

  #write(frames: readonly Buffer[], done: (error?: Error | null) => void): void {
    if (!this.#socket.writable) {
      done(new Error('the connection was closed'));
      return;
    }
    this.#socket.cork();
    frames.forEach((frame, index) => this.#socket.write(frame, index === frames.length - 1 ? done : undefined));
    this.#socket.uncork();
  }
}

function word(payload: Buffer, at: number): number {
  if (payload.length < at + 4) throw new SpdyError('control frame too short');
  return payload.readUInt32BE(at);
}

function idOf(payload: Buffer): number {
  return word(payload, 0) & 0x7fffffff;
}
