import { FrameReader } from './frame-reader.ts';

/** Length, stream, type and flags. */
const HEADER_BYTES = 10;
/** Maximum bytes of a message of ttrpc. */
export const MAX_MESSAGE_BYTES = 4 * 1024 * 1024;
/** The same with its header. */
export const MAX_FRAME_BYTES = HEADER_BYTES + MAX_MESSAGE_BYTES;

/** The types of frames. Data frames are those of streams, which NRI does not use. */
export const FrameType = { REQUEST: 1, RESPONSE: 2 } as const;
type FrameType = (typeof FrameType)[keyof typeof FrameType];

interface Frame {
  stream: number;
  type: number;
  body: Buffer;
}

/** A frame in its bytes. */
export function frame(stream: number, type: FrameType, body: Buffer): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32BE(body.length, 0);
  header.writeUInt32BE(stream, 4);
  header.writeUInt8(type, 8);
  return Buffer.concat([header, body]);
}

/** Reads frames. @param onFrame called for each. */
export function frameReader(onFrame: (frame: Frame) => void): FrameReader {
  return new FrameReader({ headerBytes: HEADER_BYTES, bodyBytes }, (header, body) => {
    onFrame({ stream: header.readUInt32BE(4), type: header.readUInt8(8), body });
  });
}

function bodyBytes(header: Buffer): number {
  const length = header.readUInt32BE(0);
  if (length <= MAX_MESSAGE_BYTES) return length;
  throw new Error(`a message of ${String(length)} bytes exceeds the maximum of ${String(MAX_MESSAGE_BYTES)}`);
}
