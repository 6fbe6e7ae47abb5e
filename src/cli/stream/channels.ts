import { WebSocket } from 'ws';
import { unavailable } from '../../core/model/errors.ts';

/** Version 5 of Kubernetes' remote command protocol: each message starts with a byte, the channel's number. */
const PROTOCOL = 'v5.channel.k8s.io';
/** The channel on which a client closes another channel. */
const CLOSE = 255;
/** Bytes of output pending for a slow reader before reading from the connection pauses. */
const HELD_BYTES = 1_048_576;
/** Keeps the streaming session alive below the server's idle timeout. */
const PING_MS = 30_000;

/** Handles the data of a channel; the next message waits until it resolves. */
export type ChannelSink = (content: Buffer) => Promise<void>;

/** The client end of a streaming URL: several channels on one WebSocket. */
export class Channels implements Disposable {
  /** Resolves when the connection is closed and all received data is handled. */
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

  /** @throws CriError UNAVAILABLE when the server is unreachable. `protocol`: port-forward has another. */
  static async open(url: string, sinks: Record<number, ChannelSink>, protocol = PROTOCOL): Promise<Channels> {
    // The URL came over the server's socket and names this machine: no CA needs to verify the certificate.
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

  /** Resolves when the data is written to the socket, or when the connection is closed. */
  send(channel: number, content: Uint8Array): Promise<void> {
    return new Promise((resolve) => {
      this.#ws.send(Buffer.concat([Buffer.of(channel), content]), () => {
        resolve();
      });
    });
  }

  /** Closes a channel towards the server. */
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
      .catch(() => undefined) // the reader is gone, which a signal reports
      .then(() => {
        this.#waiting -= content.length;
        if (this.#ws.isPaused && this.#waiting <= HELD_BYTES) this.#ws.resume();
      });
  }
}
