/** Kinds of control frames (SPDY Protocol, Draft 3.1, section 2.6). */
export const FrameKind = {
  SYN_STREAM: 1,
  SYN_REPLY: 2,
  RST_STREAM: 3,
  SETTINGS: 4,
  PING: 6,
  GOAWAY: 7,
  HEADERS: 8,
  WINDOW_UPDATE: 9,
} as const;

/** Status codes of a reset (section 2.6.3). */
export const ResetStatus = {
  PROTOCOL_ERROR: 1,
  INVALID_STREAM: 2,
  REFUSED_STREAM: 3,
  CANCEL: 5,
  STREAM_ALREADY_CLOSED: 9,
} as const;

/** The flag of the last frame that the sender sends on the stream. */
export const FLAG_FIN = 1;
/** Maximum number of bytes in a data frame. */
export const MAX_DATA_BYTES = 2 ** 24 - 1;
/** Valid control frames have a few header fields; a longer one is an attack. */
export const MAX_CONTROL_BYTES = 65_536;

const VERSION = 3;
const HEADER_BYTES = 8;

/** A part of a stream's data, or a whole control frame. */
export type Frame =
  | { type: 'data'; streamId: number; data: Buffer; fin: boolean }
  | { type: 'control'; kind: number; flags: number; payload: Buffer };

/** The peer violates SPDY/3.1; the connection must be closed. */
export class SpdyError extends Error {
  override readonly name = 'SpdyError';
}

/** Splits a byte stream into frames. Data is passed on as it arrives, so that memory does not grow with the frame length. */
export class FrameDecoder {
  /** The beginning of an incomplete header or control frame, with room for the rest. */
  #held: Buffer = Buffer.alloc(0);
  #heldBytes = 0;
  /** Bytes that the next frame needs to be decoded. */
  #needed = HEADER_BYTES;
  #data: { streamId: number; left: number; fin: boolean } | undefined;

  /** Frames that `chunk` completes. @throws SpdyError for bytes that are not SPDY/3.1. */
  *decode(chunk: Buffer): Generator<Frame> {
    let rest = this.#join(chunk);
    if (rest === undefined) return;
    for (;;) {
      if (this.#data !== undefined) {
        if (rest.length === 0) return;
        const piece = rest.subarray(0, this.#data.left);
        rest = rest.subarray(piece.length);
        yield this.#dataFrame(this.#data, piece);
        continue;
      }
      this.#needed = HEADER_BYTES;
      if (rest.length < this.#needed) break;
      const length = rest.readUIntBE(5, 3);
      const flags = rest.readUInt8(4);
      if ((rest.readUInt8(0) & 0x80) === 0) {
        const data = { streamId: rest.readUInt32BE(0), left: length, fin: (flags & FLAG_FIN) !== 0 };
        rest = rest.subarray(HEADER_BYTES);
        if (length === 0) yield this.#dataFrame(data, Buffer.alloc(0));
        else this.#data = data;
        continue;
      }
      const version = rest.readUInt16BE(0) & 0x7fff;
      if (version !== VERSION) throw new SpdyError(`SPDY version ${String(version)} is not supported`);
      if (length > MAX_CONTROL_BYTES) throw new SpdyError(`control frame of ${String(length)} bytes too long`);
      this.#needed = HEADER_BYTES + length;
      if (rest.length < this.#needed) break;
      const kind = rest.readUInt16BE(2);
      const payload = rest.subarray(HEADER_BYTES, HEADER_BYTES + length);
      rest = rest.subarray(HEADER_BYTES + length);
      yield { type: 'control', kind, flags, payload };
    }
    this.#hold(rest);
  }

  /** What is held together with `chunk`, or undefined while that is not a whole frame. */
  #join(chunk: Buffer): Buffer | undefined {
    if (this.#heldBytes === 0) return chunk;
    if (this.#heldBytes + chunk.length < this.#needed) {
      this.#hold(chunk);
      return undefined;
    }
    const joined = Buffer.concat([this.#held.subarray(0, this.#heldBytes), chunk]);
    this.#held = Buffer.alloc(0);
    this.#heldBytes = 0;
    return joined;
  }

  /** Copies into room for a whole frame: a frame in many pieces is not copied with each of them. */
  #hold(piece: Buffer): void {
    if (piece.length === 0) return;
    if (this.#held.length < this.#needed) {
      const larger = Buffer.alloc(this.#needed);
      this.#held.copy(larger, 0, 0, this.#heldBytes);
      this.#held = larger;
    }
    this.#heldBytes += piece.copy(this.#held, this.#heldBytes);
  }

  #dataFrame(frame: { streamId: number; left: number; fin: boolean }, data: Buffer): Frame {
    frame.left -= data.length;
    this.#data = frame.left === 0 ? undefined : frame;
    return { type: 'data', streamId: frame.streamId, data, fin: frame.fin && frame.left === 0 };
  }
}

/** The eight bytes before a data frame's content. */
export function dataHeader(streamId: number, length: number, fin: boolean): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32BE(streamId, 0);
  header.writeUInt32BE(length, 4);
  if (fin) header.writeUInt8(FLAG_FIN, 4);
  return header;
}

/** A whole control frame of 32-bit words, followed by `block`. */
export function controlFrame(
  kind: number,
  flags: number,
  words: readonly number[],
  block: Uint8Array = Buffer.alloc(0),
): Buffer {
  const frame = Buffer.alloc(HEADER_BYTES + words.length * 4);
  frame.writeUInt16BE(0x8000 | VERSION, 0);
  frame.writeUInt16BE(kind, 2);
  frame.writeUInt32BE(words.length * 4 + block.length, 4);
  frame.writeUInt8(flags, 4);
  words.forEach((word, index) => frame.writeUInt32BE(word >>> 0, HEADER_BYTES + index * 4));
  return Buffer.concat([frame, block]);
}
