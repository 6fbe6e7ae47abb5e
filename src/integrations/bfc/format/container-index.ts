import { BfcError, type BfcPlace } from '../errors.ts';
import {
  INDEX_HEAD_BYTES,
  INDEX_TAIL_BYTES,
  contentOffset,
  decodeIndexHead,
  HEADER_BYTES,
  type ObjectFacts,
  padding,
  typeOfMode,
} from './layout.ts';
import { MAX_TARGET_BYTES, pathProblem } from './path-rules.ts';

/** Bytes that encryption adds: nonce and tag. */
export const ENCRYPTION_BYTES = 28;
/** Of an index entry in files of bfc 1.0.0, which had no field for encryption. */
const OLD_TAIL_BYTES = 44;

/** A file, directory or symlink in a BFC file. */
export interface BfcEntry extends ObjectFacts {
  /** Its bytes as a Latin-1 string, without slashes at the ends, `.` and `..`. */
  path: string;
  /** Of its object, from the beginning of the file. */
  offset: number;
  objectSize: number;
  /** Bytes of the content as it is in the file. */
  stored: number;
}

/** The checked index of a BFC file. Its bytes stay as they are; entries are made of them when they are asked for. */
export class ContainerIndex {
  readonly #bytes: Buffer;
  readonly #view: DataView;
  /** Where each entry begins in the bytes. */
  readonly #starts: Uint32Array;
  /** Bytes between the header and the index that belong to no object. */
  readonly unusedBytes: number;

  private constructor(bytes: Buffer, starts: Uint32Array, unusedBytes: number) {
    this.#bytes = bytes;
    this.#view = viewOf(bytes);
    this.#starts = starts;
    this.unusedBytes = unusedBytes;
  }

  /**
   * Checks every entry by itself (path, kind, sizes), their order by path, and that their objects lie between header and index
   * without overlapping. Objects are not read. Takes time in proportion to the number of entries.
   * @param place of the index.
   * @throws BfcError
   */
  static parse(bytes: Buffer, place: BfcPlace & { offset: number }): ContainerIndex {
    const count = decodeIndexHead(bytes, place);
    const starts = findEntries(bytes, count, INDEX_TAIL_BYTES);
    if (!starts) {
      if (findEntries(bytes, count, OLD_TAIL_BYTES)) {
        throw new BfcError(
          'unsupported',
          place,
          'is in the format of bfc 1.0.0, which no later version reads; pack it again',
        );
      }
      throw new BfcError('malformed', place, `the index does not have the ${count} entries that it announces`);
    }
    const begins = new Float64Array(count);
    const ends = new Float64Array(count);
    const view = viewOf(bytes);
    // The path of the entry before.
    let [lastStart, lastEnd] = [0, 0];
    for (let at = 0; at < count; at++) {
      const start = (starts[at] ?? 0) + 4;
      const end = start + view.getUint32(start - 4, true);
      const path = pathProblem(bytes, start, end);
      if (path !== undefined) throw new BfcError('name', entryPlace(bytes, start, end, place), path);
      const problem =
        (at === 0 ? undefined : orderProblem(bytes, lastStart, lastEnd, start, end)) ??
        problemOf(view, end, end - start, place.offset);
      if (problem !== undefined) throw new BfcError('malformed', entryPlace(bytes, start, end, place), problem);
      begins[at] = uint64(view, end);
      ends[at] = uint64(view, end) + uint64(view, end + 8);
      [lastStart, lastEnd] = [start, end];
    }
    return new ContainerIndex(bytes, starts, unused(begins, ends, place));
  }

  get count(): number {
    return this.#starts.length;
  }

  /** The entry at a position from 0 on, in the order of their paths' bytes. */
  at(position: number): BfcEntry {
    const view = this.#view;
    const tail = this.#pathEnd(position);
    const path = this.#path(position);
    const mode = view.getUint32(tail + 16, true);
    const type = typeOfMode(mode) ?? 'file';
    const size = uint64(view, tail + 36);
    const objectSize = uint64(view, tail + 8);
    return {
      path,
      type,
      mode: mode & 0o7777,
      mtime: view.getBigInt64(tail + 20, true),
      size,
      compressed: view.getUint32(tail + 28, true) === 1,
      encrypted: view.getUint32(tail + 32, true) === 1,
      crc32c: view.getUint32(tail + 44, true),
      offset: uint64(view, tail),
      objectSize,
      stored: type === 'symlink' ? size : objectSize - contentOffset(path.length),
    };
  }

  /** All entries in the order of their paths' bytes. */
  *[Symbol.iterator](): Generator<BfcEntry> {
    for (let position = 0; position < this.count; position++) yield this.at(position);
  }

  /** All entries in the order of their objects, to read the file from its beginning to its end. */
  *byOffset(): Generator<BfcEntry> {
    const begins = Float64Array.from({ length: this.count }, (_, position) => this.#offset(position));
    const positions = Uint32Array.from(begins.keys()).sort((a, b) => (begins[a] ?? 0) - (begins[b] ?? 0));
    for (const position of positions) yield this.at(position);
  }

  /** The entry of a path; undefined when there is none. Takes time in proportion to the logarithm of their number. */
  find(path: string): BfcEntry | undefined {
    const position = this.#lowerBound(Buffer.from(path, 'latin1'));
    if (position === this.count) return undefined;
    const found = this.at(position);
    return found.path === path ? found : undefined;
  }

  /** Entries below a directory, which may have no entry itself. */
  *below(directory: string): Generator<BfcEntry> {
    const prefix = `${directory}/`;
    for (let position = this.#lowerBound(Buffer.from(prefix, 'latin1')); position < this.count; position++) {
      const entry = this.at(position);
      if (!entry.path.startsWith(prefix)) return;
      yield entry;
    }
  }

  /** The position of the first path that is not before this one. */
  #lowerBound(path: Buffer): number {
    let [low, high] = [0, this.count];
    while (low < high) {
      const middle = (low + high) >>> 1;
      const start = (this.#starts[middle] ?? 0) + 4;
      if (this.#bytes.compare(path, 0, path.length, start, this.#pathEnd(middle)) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #path(position: number): string {
    return this.#bytes.toString('latin1', (this.#starts[position] ?? 0) + 4, this.#pathEnd(position));
  }

  #offset(position: number): number {
    return uint64(this.#view, this.#pathEnd(position));
  }

  #pathEnd(position: number): number {
    const start = this.#starts[position] ?? 0;
    return start + 4 + this.#view.getUint32(start, true);
  }
}

function entryPlace(
  bytes: Buffer,
  start: number,
  end: number,
  { file, offset }: BfcPlace & { offset: number },
): BfcPlace {
  return { file, entry: bytes.toString('latin1', start, end), offset: offset + start - 4 };
}

/** What is wrong with a path behind the one before, both between a start and an end. */
function orderProblem(
  bytes: Buffer,
  lastStart: number,
  lastEnd: number,
  start: number,
  end: number,
): string | undefined {
  const length = Math.min(lastEnd - lastStart, end - start);
  let same = 0;
  while (same < length && bytes[lastStart + same] === bytes[start + same]) same++;
  const isAfter = same === length ? end - start > length : (bytes[start + same] ?? 0) > (bytes[lastStart + same] ?? 0);
  if (isAfter) return undefined;
  const isSame = same === length && end - start === lastEnd - lastStart;
  return isSame ? 'the index has the path twice' : 'the index is not sorted by path';
}

/** What is wrong in the fields behind an entry's path. `indexOffset`: where objects must have ended. */
function problemOf(view: DataView, tail: number, pathBytes: number, indexOffset: number): string | undefined {
  const type = typeOfMode(view.getUint32(tail + 16, true));
  if (type === undefined) return 'is neither a file, a directory nor a symlink';
  const compression = view.getUint32(tail + 28, true);
  if (compression > 1) return 'is compressed in an unknown way';
  const encryption = view.getUint32(tail + 32, true);
  if (encryption > 1) return 'is encrypted in an unknown way';
  const offset = uint64(view, tail);
  const objectSize = uint64(view, tail + 8);
  const isInside = offset >= HEADER_BYTES && offset + objectSize <= indexOffset;
  if (!isInside) return 'its object is not between the header and the index';
  const size = uint64(view, tail + 36);
  const content = objectSize - contentOffset(pathBytes);
  const wrong = 'its sizes do not fit together';
  if (Number.isNaN(size) || content < 0) return wrong;
  if (type === 'file') {
    const added = encryption === 1 ? ENCRYPTION_BYTES : 0;
    return content < added || (compression === 0 && content !== size + added) ? wrong : undefined;
  }
  if (compression === 1 || encryption === 1) return `is a ${type} with compressed or encrypted content`;
  if (type === 'directory') {
    return size === 0 && content === 0 && view.getUint32(tail + 44, true) === 0 ? undefined : wrong;
  }
  if (size === 0 || size > MAX_TARGET_BYTES) return `the symlink's target has ${size} bytes`;
  return content === size + padding(size) ? undefined : wrong;
}

function viewOf(bytes: Buffer): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** NaN for a number that is no offset of any file. By a view a long index is read in half the time. */
function uint64(view: DataView, offset: number): number {
  const high = view.getUint32(offset + 4, true);
  return high < 2 ** 21 ? high * 2 ** 32 + view.getUint32(offset, true) : NaN;
}

/** Where entries begin whose tails have this length; undefined unless they fill the bytes. */
function findEntries(bytes: Buffer, count: number, tailBytes: number): Uint32Array | undefined {
  // Before memory is taken for as many as a file may announce.
  if (count > (bytes.length - INDEX_HEAD_BYTES) / (4 + tailBytes)) return undefined;
  const starts = new Uint32Array(count);
  let at = INDEX_HEAD_BYTES;
  for (let entry = 0; entry < count; entry++) {
    if (at + 4 > bytes.length) return undefined;
    starts[entry] = at;
    at += 4 + bytes.readUInt32LE(at) + tailBytes;
  }
  return at === bytes.length ? starts : undefined;
}

/** Bytes in no object. Disjoint ranges, sorted by their begins and by their ends, are in the same order. @throws BfcError for others */
function unused(begins: Float64Array, ends: Float64Array, place: BfcPlace & { offset: number }): number {
  begins.sort();
  ends.sort();
  let end = HEADER_BYTES;
  let bytes = 0;
  for (let at = 0; at < begins.length; at++) {
    const begin = begins[at] ?? 0;
    if (begin < end) throw new BfcError('malformed', { file: place.file, offset: begin }, 'two objects overlap');
    bytes += begin - end;
    end = ends[at] ?? 0;
  }
  return bytes + place.offset - end;
}
