import { LaneCrc } from './crc32c-lanes.ts';

/** Reflected polynomial of CRC-32C (Castagnoli; RFC 3720, appendix B.4). */
const POLYNOMIAL = 0x82f63b78;
/** Bytes that are taken in together. */
const SLICES = 16;
/** Bytes that tables take as long for as vector instructions to be made ready. */
const UNREADY_BYTES = 8 * 2 ** 20;

/**
 * The two checksums in use: `raw` begins with 0 and is not inverted, as the original's builds for processors with CRC
 * instructions write it; `standard` begins with all ones and is inverted at the end (RFC 3720), as its other builds do.
 */
export type CrcVariant = 'raw' | 'standard';

/** At `256 * n + byte`: what a byte becomes when `n` bytes of zeros follow it. */
const tables = makeTables();

function makeTables(): Int32Array {
  const made = new Int32Array(256 * SLICES);
  for (let byte = 0; byte < 256; byte++) {
    let value = byte;
    for (let bit = 0; bit < 8; bit++) value = (value & 1) === 0 ? value >>> 1 : (value >>> 1) ^ POLYNOMIAL;
    made[byte] = value;
  }
  for (let at = 256; at < made.length; at++) {
    const before = made[at - 256] ?? 0;
    made[at] = (before >>> 8) ^ (made[before & 255] ?? 0);
  }
  return made;
}

/** For long pieces of bytes; undefined until there were many of them, null where the processor cannot. */
let lanes: LaneCrc | null | undefined;
let longBytes = 0;

/** A CRC-32C that is computed as bytes come: 2 GB/s, of long pieces 4 to 5. */
export class Crc32c {
  readonly #mask: number;
  #state: number;

  constructor(variant: CrcVariant) {
    this.#mask = variant === 'raw' ? 0 : -1;
    this.#state = this.#mask;
  }

  update(bytes: Buffer): this {
    this.#state = advance(this.#state, bytes);
    return this;
  }

  /** The checksum of all bytes so far, unsigned. */
  get value(): number {
    return (this.#state ^ this.#mask) >>> 0;
  }
}

/** The CRC-32C of bytes in memory, unsigned. */
export function crc32c(variant: CrcVariant, bytes: Buffer): number {
  return new Crc32c(variant).update(bytes).value;
}

function advance(state: number, bytes: Buffer): number {
  if (bytes.length < LaneCrc.MIN_BYTES) return advanceByTables(state, bytes);
  longBytes += bytes.length;
  if (lanes === undefined && longBytes > UNREADY_BYTES) lanes = makeLanes();
  if (!lanes) return advanceByTables(state, bytes);
  const done = lanes.advance(state, bytes);
  return advanceByTables(done.state, bytes.subarray(done.taken));
}

function makeLanes(): LaneCrc | null {
  try {
    return new LaneCrc(tables.subarray(0, 256));
  } catch {
    return null;
  }
}

/** Slicing-by-16: as many tables as bytes, which a processor looks up side by side. */
function advanceByTables(state: number, bytes: Buffer): number {
  let crc = state;
  let at = 0;
  const one = (byte: number) => (crc >>> 8) ^ (tables[(crc ^ byte) & 255] ?? 0);
  // Words must be aligned; they are little-endian, as on all processors that Node.js runs on.
  for (; at < bytes.length && ((bytes.byteOffset + at) & 3) !== 0; at++) crc = one(bytes[at] ?? 0);
  if (at === bytes.length) return crc;
  const words = new Int32Array(bytes.buffer, bytes.byteOffset + at, (bytes.length - at) >>> 2);
  let index = 0;
  for (; index + 4 <= words.length; index += 4) {
    crc =
      look((words[index] ?? 0) ^ crc, 12) ^
      look(words[index + 1] ?? 0, 8) ^
      look(words[index + 2] ?? 0, 4) ^
      look(words[index + 3] ?? 0, 0);
  }
  for (at += 4 * index; at < bytes.length; at++) crc = one(bytes[at] ?? 0);
  return crc;
}

/** What the four bytes of a word become with `behind` bytes behind them. */
function look(word: number, behind: number): number {
  const base = 256 * behind;
  return (
    (tables[base + 768 + (word & 255)] ?? 0) ^
    (tables[base + 512 + ((word >>> 8) & 255)] ?? 0) ^
    (tables[base + 256 + ((word >>> 16) & 255)] ?? 0) ^
    (tables[base + (word >>> 24)] ?? 0)
  );
}
