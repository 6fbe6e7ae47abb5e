import { WebSocket } from 'ws';
import { unavailable } from '../../core/model/errors.ts';

/** Version 5 of Kubernetes' remote command protocol: a byte with the channel's number before each message. */
const PROTOCOL = 'v5.channel.k8s.io';
/** The channel on which a client says that a channel has ended. */
const CLOSE = 255;
/** Bytes of output that wait for a slow reader before the connection is not read any more. */
const HELD_BYTES = 1_048_576;
/** Keeps the session alive below the server's idle timeout. */
const PING_MS = 30_000;

/** Takes what comes on a channel; the next message waits until it resolves. */
export type ChannelSink = (content: Buffer) => Promise<void>;

/** The client's end of a streaming URL, as several channels on one WebSocket. */
export class Channels implements Disposable {
  /** Resolves when the connection has ended and all that came by it has been taken. */
  readonly closed: Promise<void>;
  readonly #ws: WebSocket;
  readonly #ping: NodeJS.Timeout;
  readonly #sinks = new Map<number, ChannelSink>();
  #waiting = 0;
  #taken: Promise<void> = Promise.resolve();

  private constructor(ws: WebSocket) {
    this.#ws = ws;
    this.#ping = setInterval(() => {
      if (ws.readyState === ws.OPEN) ws.ping();
    }, PING_MS);
    ws.on('message', (message: Buffer) => {
      this.#receive(message);
    });
    this.closed = new Promise((resolve) => {
      ws.once('close', () => {
        clearInterval(this.#ping);
        void this.#taken.finally(resolve);
      });
    });
  }

  /** @throws CriError UNAVAILABLE when nothing answers there; `protocol`: that of port-forward is another. */
  static async open(url: string, sinks: Record<number, ChannelSink>, protocol = PROTOCOL): Promise<Channels> {
    // The URL came over the server's socket and names this machine: its certificate need not be anybody's.
    const ws = new WebSocket(url.replace(/^http/, 'ws'), protocol, {
      rejectUnauthorized: false,
      perMessageDeflate: false,
    });
    const channels = new Channels(ws);
    for (const [channel, sink] of Object.entries(sinks)) channels.#sinks.set(Number(channel), sink);
    await new Promise<void>((resolve, reject) => {
      ws.once('open', resolve);
      ws.once('error', (error) => {
        const { origin } = new URL(url);
        reject(unavailable(`cannot reach the streaming server at ${origin}: ${error.message}`, error));
      });
    });
    ws.on('error', () => undefined); // 'close' follows
    return channels;
  }

  /** Resolves when the system has taken it; also when the connection has ended. */
  send(channel: number, content: Uint8Array): Promise<void> {
    return new Promise((resolve) => {
      this.#ws.send(Buffer.concat([Buffer.of(channel), content]), () => {
        resolve();
      });
    });
  }

  /** Tells the server that nothing more comes on a channel. */
  end(channel: number): Promise<void> {
    return this.send(CLOSE, Buffer.of(channel));
  }

  /** Ends the connection at once. */
  [Symbol.dispose](): void {
    this.#ws.terminate();
  }

  #receive(message: Buffer): void {
    const sink = this.#sinks.get(message[0] ?? 0);
    const content = message.subarray(1);
    if (sink === undefined || content.length === 0) return;
    this.#waiting += content.length;
    if (this.#waiting > HELD_BYTES) this.#ws.pause();
    this.#taken = this.#taken
      .then(() => sink(content))
      .catch(() => undefined) // the reader is gone, which a signal tells
      .then(() => {
        this.#waiting -= content.length;
        if (this.#ws.isPaused && this.#waiting <= HELD_BYTES) this.#ws.resume();
      });
  }
}
