import { Readable, Writable } from 'node:stream';
import type { RawData, WebSocket } from 'ws';
import { beatWhile } from '../heartbeat.ts';

/** Encoding of channels in messages: the channel's number as a byte before the content, or as a digit before base64. */
export type ChannelEncoding = 'binary' | 'base64';

/** The channel on which version 5 closes another channel. */
const CLOSE = 255;
/** Bytes that a channel buffers for a slow reader before the connection waits. */
const RECEIVE_BYTES = 262_144;

/** Several streams on one WebSocket, identified by the number at the start of each message. */
export class ChannelSocket {
  readonly #ws: WebSocket;
  readonly #encoding: ChannelEncoding;
  readonly #readers = new Map<number, Readable>();
  /** Channels whose buffer is full; the socket is not read meanwhile. */
  readonly #full = new Set<number>();
  #resume: () => void = () => undefined;

  constructor(ws: WebSocket, encoding: ChannelEncoding) {
    this.#ws = ws;
    this.#encoding = encoding;
    ws.on('message', (data: RawData) => {
      this.#receive(data as Buffer);
    });
    ws.on('close', () => {
      this.#resume();
      for (const reader of this.#readers.values()) reader.destroy();
    });
  }

  /** Data of the client on a channel. Ends when the client closes the channel (version 5) or the connection. */
  reader(channel: number): Readable {
    const reader = new Readable({
      highWaterMark: RECEIVE_BYTES,
      read: () => {
        this.#roomFor(channel);
      },
      destroy: (error, done) => {
        this.#readers.delete(channel);
        this.#roomFor(channel);
        done(error);
      },
    });
    this.#readers.set(channel, reader);
    return reader;
  }

  /** Sends on a channel; a write completes when it is written to the socket. */
  writer(channel: number): Writable {
    return new Writable({
      write: (chunk: Buffer, _, done) => {
        this.send(channel, chunk, done);
      },
    });
  }

  send(channel: number, content: Buffer, done: (error?: Error | null) => void): void {
    const message =
      this.#encoding === 'binary'
        ? Buffer.concat([Buffer.of(channel), content])
        : `${String(channel)}${content.toString('base64')}`;
    this.#ws.send(message, { binary: this.#encoding === 'binary' }, done);
  }

  #receive(message: Buffer): void {
    if (message.length === 0) return;
    const first = message.readUInt8(0);
    if (this.#encoding === 'binary' && first === CLOSE && message.length === 2) {
      const reader = this.#readers.get(message.readUInt8(1));
      this.#readers.delete(message.readUInt8(1));
      reader?.push(null);
      return;
    }
    const channel = this.#encoding === 'binary' ? first : first - 0x30;
    const reader = this.#readers.get(channel);
    const rest = message.subarray(1);
    const content = this.#encoding === 'binary' ? rest : Buffer.from(rest.toString('latin1'), 'base64');
    if (reader === undefined || content.length === 0 || reader.push(content)) return;
    const held = this.#full.size > 0;
    this.#full.add(channel);
    if (!held) this.#hold();
  }

  /** Stops reading until every channel has room. Data that was already read is still delivered. */
  #hold(): void {
    this.#ws.pause();
    const room = new Promise<void>((resolve) => {
      this.#resume = resolve;
    });
    // An unsolicited pong (RFC 6455, section 5.5.3) also satisfies clients whose pings are not read meanwhile.
    void beatWhile(room, () => {
      if (this.#ws.readyState === this.#ws.OPEN && this.#ws.bufferedAmount === 0) this.#ws.pong();
    });
  }

  #roomFor(channel: number): void {
    if (!this.#full.delete(channel) || this.#full.size > 0) return;
    this.#resume();
    this.#ws.resume();
  }
}
