const MAGIC = 0xfd2fb528;
const BLOCK_HEADER_BYTES = 3;
const CHECKSUM_BYTES = 4;
const REPEATED_BYTE = 1;
const RESERVED = 3;

/** The size of its content that a frame's header states (RFC 8878, 3.1.1.1); undefined for what is no frame, or states none. */
export function contentSize(frame: Buffer): number | undefined {
  if (frame.length < 5 || frame.readUInt32LE(0) !== MAGIC) return undefined;
  const { at, length, flag } = sizeField(frame.readUInt8(4));
  if (length === 0 || at + length > frame.length) return undefined;
  if (flag === 3) return Number(frame.readBigUInt64LE(at));
  return frame.readUIntLE(at, length) + (flag === 1 ? 256 : 0);
}

/** Whether bytes that begin as a frame are all of one and nothing more, as its blocks' headers say (RFC 8878, 3.1.1.2). */
export function isWholeFrame(bytes: Buffer): boolean {
  const descriptor = bytes.readUInt8(4);
  const field = sizeField(descriptor);
  let at = field.at + field.length;
  for (let isLast = false; !isLast;) {
    if (at + BLOCK_HEADER_BYTES > bytes.length) return false;
    const header = bytes.readUIntLE(at, BLOCK_HEADER_BYTES);
    isLast = (header & 1) === 1;
    const type = (header >>> 1) & 3;
    if (type === RESERVED) return false;
    at += BLOCK_HEADER_BYTES + (type === REPEATED_BYTE ? 1 : header >>> 3);
  }
  return at + ((descriptor & 4) === 0 ? 0 : CHECKSUM_BYTES) === bytes.length;
}

/** Where the size of the content is in a frame with this descriptor. */
function sizeField(descriptor: number): { at: number; length: number; flag: number } {
  const isSingleSegment = (descriptor & 0x20) !== 0;
  const dictionaryBytes = [0, 1, 2, 4][descriptor & 3] ?? 0;
  const flag = descriptor >>> 6;
  const length = flag === 0 ? (isSingleSegment ? 1 : 0) : 2 ** flag;
  return { at: 5 + (isSingleSegment ? 0 : 1) + dictionaryBytes, length, flag };
}
