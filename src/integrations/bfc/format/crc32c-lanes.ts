/*
 * CRC-32C by vector instructions, in WebAssembly, as Node.js has no function for it: sixteen stretches of the bytes side by side, one
 * in each lane of a vector. A step takes a byte of each lane in: the checksums are four vectors, one for each of their bytes, and what
 * a byte becomes is looked up by its halves, in tables of 16 bytes that are vectors, too.
 */

const LANES = 16;
/** Of one lane; not more, as stretches that lie 4 KiB apart share places in a processor's cache. */
const LANE_BYTES = 1024;
const BLOCK_BYTES = LANES * LANE_BYTES;
/** Bytes that are copied into the memory of WebAssembly at a time. */
const INPUT_BYTES = 262_144;

/** Where things are in the memory: tables of the low and the high half for each byte of a checksum, checksums, input. */
const TABLES_AT = 0;
const RESULT_AT = 128;
const INPUT_AT = 65_536;
const PAGE_BYTES = 65_536;

/** Local variables of the function; all but the first two are vectors. */
const AT = 0;
const END = 1;
const ROWS = 2;
const OTHER_ROWS = ROWS + LANES;
const STATE = OTHER_ROWS + LANES;
const TABLES = STATE + 4;
const LOW = TABLES + 8;
const HIGH = LOW + 1;
const VECTORS = HIGH + 1 - ROWS;

/** Of WebAssembly, what the types of Node.js do not have. */
interface Engine {
  Module: new (bytes: Uint8Array) => object;
  Instance: new (module: object) => {
    exports: { memory: { buffer: ArrayBuffer }; run: (at: number, end: number) => void };
  };
}

const get = (local: number) => [0x20, local];
const set = (local: number) => [0x21, local];
const vector = (...operation: number[]) => [0xfd, ...operation];
const load = (offset: number) => vector(0x00, 0, ...unsigned(offset));
const store = (offset: number) => vector(0x0b, 0, ...unsigned(offset));
const xor = vector(0x51);
/** `i8x16.relaxed_swizzle`, whose indexes are below 16 here. */
const lookUp = vector(0x80, 0x02);
const lowHalves = [...vector(0x0c), ...Array<number>(LANES).fill(0x0f), ...vector(0x4e)];
const shiftByHalf = [0x41, 4, ...vector(0x8d, 0x01)];

/** LEB128. */
function unsigned(value: number): number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...unsigned(value >>> 7)];
}

/** The bytes of two vectors in turn, of their first or second halves. */
function interleave(from: number): number[] {
  return vector(0x0d, ...Array.from({ length: LANES }, (_, at) => from + (at >>> 1) + (at & 1) * LANES));
}

/** Turns sixteen rows, one of each lane, into sixteen columns: four times the rows are interleaved with those eight below. */
function transpose(): number[] {
  const code: number[] = [];
  for (let [round, from, to] = [0, ROWS, OTHER_ROWS]; round < 4; round++, [from, to] = [to, from]) {
    for (let row = 0; row < LANES / 2; row++) {
      const both = [...get(from + row), ...get(from + row + LANES / 2)];
      code.push(...both, ...interleave(0), ...set(to + 2 * row));
      code.push(...both, ...interleave(LANES / 2), ...set(to + 2 * row + 1));
    }
  }
  return code;
}

/** Takes in a column. */
function step(column: number): number[] {
  const index = [...get(column), ...get(STATE), ...xor, ...set(HIGH)];
  const halves = [...get(HIGH), ...lowHalves, ...set(LOW), ...get(HIGH), ...shiftByHalf, ...lowHalves, ...set(HIGH)];
  const bytes = [0, 1, 2, 3].flatMap((byte) => [
    ...[...get(TABLES + 2 * byte), ...get(LOW), ...lookUp],
    ...[...get(TABLES + 2 * byte + 1), ...get(HIGH), ...lookUp, ...xor],
    ...(byte < 3 ? [...get(STATE + byte + 1), ...xor] : []),
    ...set(STATE + byte),
  ]);
  return [...index, ...halves, ...bytes];
}

/** `run(at, end)`: checksums of the lanes of which the first begins at `at` and ends at `end`. */
function makeModule(): Uint8Array<ArrayBuffer> {
  const numbers = (count: number) => Array.from({ length: count }, (_, at) => at);
  const tables = numbers(8).flatMap((at) => [0x41, 0, ...load(TABLES_AT + 16 * at), ...set(TABLES + at)]);
  const rows = numbers(LANES).flatMap((row) => [...get(AT), ...load(row * LANE_BYTES), ...set(ROWS + row)]);
  const steps = numbers(LANES).flatMap((column) => step(ROWS + column));
  const advance = [...get(AT), 0x41, LANES, 0x6a, ...set(AT)];
  const again = [...get(AT), ...get(END), 0x49, 0x0d, 0];
  const loop = [0x03, 0x40, ...rows, ...transpose(), ...steps, ...advance, ...again, 0x0b];
  const results = numbers(4).flatMap((byte) => [0x41, 0, ...get(STATE + byte), ...store(RESULT_AT + 16 * byte)]);
  const body = [1, VECTORS, 0x7b, ...tables, ...loop, ...results, 0x0b];
  const section = (id: number, bytes: number[]) => [id, ...unsigned(bytes.length), ...bytes];
  const name = (text: string) => [text.length, ...Buffer.from(text)];
  return Uint8Array.from([
    ...[...Buffer.from('\0asm'), 1, 0, 0, 0],
    ...section(1, [1, 0x60, 2, 0x7f, 0x7f, 0]),
    ...section(3, [1, 0]),
    ...section(5, [1, 0, (INPUT_AT + INPUT_BYTES) / PAGE_BYTES]),
    ...section(7, [2, ...name('memory'), 2, 0, ...name('run'), 0, 0]),
    ...section(10, [1, ...unsigned(body.length), ...body]),
  ]);
}

/** Takes whole blocks of bytes into a checksum. */
export class LaneCrc {
  /** Bytes from which it is faster than tables. */
  static readonly MIN_BYTES = 4 * BLOCK_BYTES;
  readonly #memory: Uint8Array;
  readonly #run: (at: number, end: number) => void;
  /** At `256 * n + byte`: what byte `n` of a checksum becomes when a lane of zeros follows. */
  readonly #behindLane = new Int32Array(1024);

  /**
   * @param table what each byte becomes, of a checksum that begins with 0. @throws Error where the processor has no such
   *   instructions.
   */
  constructor(table: Int32Array) {
    const { WebAssembly: engine } = globalThis as unknown as { WebAssembly: Engine };
    const { memory, run } = new engine.Instance(new engine.Module(makeModule())).exports;
    this.#memory = new Uint8Array(memory.buffer);
    this.#run = run;
    for (let byte = 0; byte < 4; byte++) {
      for (let half = 0; half < 16; half++) {
        this.#memory[TABLES_AT + 32 * byte + half] = (table[half] ?? 0) >>> (8 * byte);
        this.#memory[TABLES_AT + 32 * byte + 16 + half] = (table[half << 4] ?? 0) >>> (8 * byte);
      }
    }
    for (let bit = 0; bit < 32; bit++) {
      let state = 1 << bit;
      for (let at = 0; at < LANE_BYTES; at++) state = (state >>> 8) ^ (table[state & 255] ?? 0);
      const [first, step] = [256 * (bit >>> 3), 1 << (bit & 7)];
      for (let byte = step; byte < 256; byte++) {
        if ((byte & step) !== 0) this.#behindLane[first + byte] = (this.#behindLane[first + byte] ?? 0) ^ state;
      }
    }
  }

  /** The checksum after the whole blocks that bytes begin with, and how many bytes they are. */
  advance(state: number, bytes: Buffer): { state: number; taken: number } {
    const taken = bytes.length - (bytes.length % BLOCK_BYTES);
    let crc = state;
    for (let at = 0; at < taken; at += INPUT_BYTES) {
      const length = Math.min(INPUT_BYTES, taken - at);
      this.#memory.set(bytes.subarray(at, at + length), INPUT_AT);
      for (let block = INPUT_AT; block < INPUT_AT + length; block += BLOCK_BYTES) crc = this.#block(crc, block);
    }
    return { state: crc, taken };
  }

  #block(state: number, at: number): number {
    this.#run(at, at + LANE_BYTES);
    let crc = state;
    for (let lane = RESULT_AT; lane < RESULT_AT + LANES; lane++) {
      const own =
        (this.#memory[lane] ?? 0) |
        ((this.#memory[lane + 16] ?? 0) << 8) |
        ((this.#memory[lane + 32] ?? 0) << 16) |
        ((this.#memory[lane + 48] ?? 0) << 24);
      crc =
        own ^
        (this.#behindLane[crc & 255] ?? 0) ^
        (this.#behindLane[256 + ((crc >>> 8) & 255)] ?? 0) ^
        (this.#behindLane[512 + ((crc >>> 16) & 255)] ?? 0) ^
        (this.#behindLane[768 + (crc >>> 24)] ?? 0);
    }
    return crc;
  }
}
