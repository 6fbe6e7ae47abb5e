import type { ByteSource } from './byte-source.ts';
import { BLOCK, padding, parseNumber, TarError } from './header.ts';

/** Maximum number of pieces of a sparse file; each takes memory while its entry is read. */
const MAX_PIECES = 100_000;

/** The parts of a sparse file that are in the archive, ascending; what lies between them reads as zeros. */
export interface SparseMap {
  /** Bytes of the whole file. */
  realSize: number;
  /** `[offset, length]` of each part. */
  pieces: [number, number][];
}

/** The map that GNU's own format has in an `S` header and the blocks behind it (GNU tar, "Old GNU Format"). */
export async function readGnuSparse(header: Buffer, source: ByteSource): Promise<SparseMap> {
  const pieces: [number, number][] = [];
  take(header, 386, 4, pieces);
  let more = header[482] === 1;
  while (more) {
    const block = await source.read(BLOCK);
    if (!block) throw new TarError('truncated archive');
    take(block, 0, 21, pieces);
    more = block[504] === 1;
    if (pieces.length > MAX_PIECES) throw tooMany();
  }
  return { realSize: parseNumber(header, 483, 12, 'size'), pieces };
}

function take(block: Buffer, offset: number, count: number, pieces: [number, number][]): void {
  for (let at = offset; at < offset + count * 24; at += 24) {
    if (block[at] === 0) return;
    pieces.push([parseNumber(block, at, 12, 'sparse map'), parseNumber(block, at + 12, 12, 'sparse map')]);
  }
}

/**
 * The map that pax records announce (GNU tar, "PAX Format, Versions 0.0, 0.1 and 1.0"), which version 1.0 has at the
 * start of the content; `mapBytes` is its length. undefined for a file that is not sparse.
 * @throws TarError for a malformed one.
 */
export async function readPaxSparse(
  pax: ReadonlyMap<string, Buffer>,
  source: ByteSource,
): Promise<{ map: SparseMap; mapBytes: number } | undefined> {
  if (![...pax.keys()].some((key) => key.startsWith('GNU.sparse.'))) return undefined;
  const version = `${text(pax, 'GNU.sparse.major') ?? '0'}.${text(pax, 'GNU.sparse.minor') ?? '0'}`;
  const realSize = decimal(text(pax, 'GNU.sparse.realsize') ?? text(pax, 'GNU.sparse.size') ?? '');
  if (version === '1.0') {
    const { numbers, bytes } = await readMapBlocks(source);
    return { map: { realSize, pieces: pairs(numbers) }, mapBytes: bytes };
  }
  if (version !== '0.0' && version !== '0.1') throw new TarError(`unsupported version ${version} of sparse files`);
  const list = text(pax, 'GNU.sparse.map') ?? '';
  return { map: { realSize, pieces: pairs(list === '' ? [] : list.split(',').map(decimal)) }, mapBytes: 0 };
}

/**
 * @throws TarError unless the pieces ascend inside the file, take `stored` bytes, and are whole blocks but for the last one:
 *   GNU tar writes such pieces only, and reads whole blocks for any, so that it would take what follows the file for its content.
 */
export function checkSparse({ realSize, pieces }: SparseMap, stored: number): void {
  let end = 0;
  let sum = 0;
  for (const [offset, length] of pieces) {
    if (offset < end || length < 0) throw new TarError('a sparse map is out of order');
    if (length > 0 && sum % BLOCK !== 0) throw new TarError('a piece of a sparse file is not whole blocks');
    end = offset + length;
    sum += length;
  }
  if (end > realSize || sum !== stored) throw new TarError('a sparse map does not fit its file');
}

/** A map as version 1.0 writes it, padded to whole blocks. */
export function formatSparse({ pieces }: SparseMap): Buffer {
  const data = Buffer.from([pieces.length, ...pieces.flat()].map((number) => `${number}\n`).join(''));
  return Buffer.concat([data, Buffer.alloc(padding(data.length))]);
}

/** Decimal lines in whole blocks: the number of pieces, then their offsets and lengths. */
async function readMapBlocks(source: ByteSource): Promise<{ numbers: number[]; bytes: number }> {
  const numbers: number[] = [];
  let rest = '';
  let bytes = 0;
  for (let wanted = 1; numbers.length < wanted;) {
    const block = await source.read(BLOCK);
    if (!block) throw new TarError('truncated archive');
    bytes += BLOCK;
    const lines = (rest + block.toString('latin1')).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      if (numbers.length === wanted) break;
      numbers.push(decimal(line));
      if (numbers.length > 1) continue;
      wanted = 1 + 2 * (numbers[0] ?? 0);
      if (wanted > 1 + 2 * MAX_PIECES) throw tooMany();
    }
    if (rest.length > 20 && numbers.length < wanted) throw new TarError('a sparse map is malformed');
  }
  return { numbers: numbers.slice(1), bytes };
}

function pairs(numbers: readonly number[]): [number, number][] {
  if (numbers.length % 2 !== 0) throw new TarError('a sparse map is malformed');
  if (numbers.length > 2 * MAX_PIECES) throw tooMany();
  return Array.from({ length: numbers.length / 2 }, (_, i) => [numbers[2 * i] ?? 0, numbers[2 * i + 1] ?? 0]);
}

function decimal(digits: string): number {
  const value = Number(digits);
  if (!/^\d{1,16}$/.test(digits) || !Number.isSafeInteger(value)) throw new TarError('a sparse map is malformed');
  return value;
}

function text(pax: ReadonlyMap<string, Buffer>, key: string): string | undefined {
  return pax.get(key)?.toString('latin1');
}

function tooMany(): TarError {
  return new TarError(`a sparse file has more than ${MAX_PIECES} pieces`);
}
