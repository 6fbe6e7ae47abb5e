import type { Duplex } from 'node:stream';
import { messageOf } from '../../../utils/errors.ts';
import { FrameReader } from './frame-reader.ts';
import { MAX_FRAME_BYTES } from './ttrpc-frames.ts';

/** The channels of a connection: 1 for the calls to a plugin, 2 for its calls to the runtime. 0 is reserved. */
export const PLUGIN_CHANNEL = 1;
export const RUNTIME_CHANNEL = 2;

/** Channel and length, big-endian, 32 bits each. */
const HEADER_BYTES = 8;
/** A plugin reads with a buffer of this size, and closes the connection when a first piece of a message has more. */
const FIRST_PIECE_BYTES = 4096;
/** Bytes that may wait for a peer that does not read. */
const MOST_UNREAD_BYTES = 4 * MAX_FRAME_BYTES;

/**
 * NRI's multiplexed connection: one stream of bytes each way that carries several. It ends with its socket, at a frame that is too
 * large, and when the peer does not read.
 */
export class Mux {
  readonly #trunk: Duplex;
  readonly #channels = new Map<number, (bytes: Buffer) => void>();
  readonly #onEnd: (reason: string) => void;
  #isEnded = false;

  /** @param onEnd called once, when the connection has ended. */
  constructor(trunk: Duplex, onEnd: (reason: string) => void) {
    this.#trunk = trunk;
    this.#onEnd = onEnd;
    const framing = { headerBytes: HEADER_BYTES, bodyBytes };
    const reader = new FrameReader(framing, (header, body) => this.#channels.get(header.readUInt32BE(0))?.(body));
    trunk.on('data', (bytes: Buffer) => {
      try {
        reader.push(bytes);
      } catch (error) {
        this.end(messageOf(error));
      }
    });
    trunk.on('error', (error: Error) => {
      this.end(error.message);
    });
    trunk.on('close', () => {
      this.end('the connection was closed');
    });
    trunk.on('end', () => {
      this.end('the plugin closed the connection');
    });
  }

  /** Calls `receive` with each piece that comes for a channel; pieces for other channels are dropped. */
  open(channel: number, receive: (bytes: Buffer) => void): void {
    this.#channels.set(channel, receive);
  }

  /** Sends a message to a channel, in the pieces in which plugins expect one. No effect after the end. */
  send(channel: number, message: Buffer): void {
    if (this.#isEnded) return;
    this.#piece(channel, message.subarray(0, FIRST_PIECE_BYTES));
    if (message.length > FIRST_PIECE_BYTES) this.#piece(channel, message.subarray(FIRST_PIECE_BYTES));
    if (this.#trunk.writableLength > MOST_UNREAD_BYTES) this.end('the plugin does not read');
  }

  #piece(channel: number, bytes: Buffer): void {
    const header = Buffer.alloc(HEADER_BYTES);
    header.writeUInt32BE(channel, 0);
    header.writeUInt32BE(bytes.length, 4);
    this.#trunk.write(header);
    this.#trunk.write(bytes);
  }

  /** Ends the connection. */
  end(reason: string): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#trunk.destroy();
    this.#onEnd(reason);
  }
}

function bodyBytes(header: Buffer): number {
  const length = header.readUInt32BE(4);
  if (length <= MAX_FRAME_BYTES) return length;
  throw new Error(`a frame of ${String(length)} bytes exceeds the maximum of ${String(MAX_FRAME_BYTES)}`);
}
