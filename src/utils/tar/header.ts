import type { SparseMap } from './sparse.ts';

/** The kind of an entry, with names as in stat(2). */
export type TarEntryType = 'file' | 'directory' | 'symlink' | 'hardlink' | 'character' | 'block' | 'fifo';

/** One member of a tar archive. Names are bytes in Latin-1 strings: tar has no encoding, and filesystems have none either. */
export interface TarEntry {
  type: TarEntryType;
  name: string;
  /** Target of a symlink or hardlink, empty for others. */
  linkName: string;
  /** Bytes of content that follow; 0 for everything but files. */
  size: number;
  /** Permission bits with setuid, setgid and sticky, 0–07777. */
  mode: number;
  uid: number;
  gid: number;
  /** Seconds since 1970, a decimal number as pax writes it. */
  mtime: string;
  deviceMajor: number;
  deviceMinor: number;
  xattrs: ReadonlyMap<string, Buffer>;
  /** Of a sparse file: where the `size` bytes of content that follow belong. */
  sparse?: SparseMap;
}

export const BLOCK = 512;

/** An archive that is not a tar, or has unsupported entries. The message names the entry. */
export class TarError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'TarError';
  }
}

/** The fields of a 512-byte header as they stand (POSIX ustar, and GNU's base-256 numbers and prefixless names). */
export interface RawHeader {
  typeflag: string;
  name: string;
  linkName: string;
  size: number;
  mode: number;
  uid: number;
  gid: number;
  mtime: number;
  deviceMajor: number;
  deviceMinor: number;
}

/** @throws TarError when the checksum or a number is wrong. undefined for a block of zeros. */
export function parseHeader(block: Buffer): RawHeader | undefined {
  if (block.every((byte) => byte === 0)) return undefined;
  verifyChecksum(block);
  const magic = block.toString('latin1', 257, 265);
  const prefix = magic.startsWith('ustar\0') ? text(block, 345, 155) : '';
  const name = text(block, 0, 100);
  const hasDevice = magic.startsWith('ustar');
  return {
    typeflag: block.toString('latin1', 156, 157),
    name: prefix === '' ? name : `${prefix}/${name}`,
    linkName: text(block, 157, 100),
    size: parseNumber(block, 124, 12, 'size'),
    mode: parseNumber(block, 100, 8, 'mode') & 0o7777,
    uid: parseNumber(block, 108, 8, 'owner'),
    gid: parseNumber(block, 116, 8, 'group'),
    mtime: parseNumber(block, 136, 12, 'time'),
    deviceMajor: hasDevice ? parseNumber(block, 329, 8, 'device') : 0,
    deviceMinor: hasDevice ? parseNumber(block, 337, 8, 'device') : 0,
  };
}

/** A 512-byte header in GNU's format, or under the mark of POSIX's. @throws RangeError for a name that does not fit (GNU long names go before it). */
export function formatHeader(header: RawHeader, isPosix = false): Buffer {
  const block = Buffer.alloc(BLOCK);
  putText(block, 0, 100, header.name);
  putNumber(block, 100, 8, header.mode);
  putNumber(block, 108, 8, header.uid);
  putNumber(block, 116, 8, header.gid);
  putNumber(block, 124, 12, header.size);
  putNumber(block, 136, 12, header.mtime);
  block.write(header.typeflag, 156, 'latin1');
  putText(block, 157, 100, header.linkName);
  block.write(isPosix ? 'ustar\x0000' : 'ustar  \0', 257, 'latin1');
  putNumber(block, 329, 8, header.deviceMajor);
  putNumber(block, 337, 8, header.deviceMinor);
  block.write(`${checksum(block).toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}

/** Bytes of padding after `size` bytes of content. */
export function padding(size: number): number {
  return (BLOCK - (size % BLOCK)) % BLOCK;
}

function verifyChecksum(block: Buffer): void {
  const stated = parseInt(text(block, 148, 8).trim(), 8);
  if (stated === checksum(block)) return;
  // Some old archivers summed signed bytes.
  let signed = 8 * 32;
  for (let i = 0; i < BLOCK; i++) if (i < 148 || i >= 156) signed += block.readInt8(i);
  if (stated !== signed) throw new TarError('header with a wrong checksum: not a tar archive, or damaged');
}

/** Sum of the header's bytes, the checksum field itself counted as spaces. */
function checksum(block: Buffer): number {
  let sum = 8 * 32;
  for (let i = 0; i < BLOCK; i++) if (i < 148 || i >= 156) sum += block[i] ?? 0;
  return sum;
}

function text(block: Buffer, offset: number, length: number): string {
  const field = block.toString('latin1', offset, offset + length);
  const end = field.indexOf('\0');
  return end < 0 ? field : field.slice(0, end);
}

/** A number of a header: octal digits, or base 256. @throws TarError for anything else. */
export function parseNumber(block: Buffer, offset: number, length: number, what: string): number {
  const first = block[offset] ?? 0;
  if (first & 0x80) return base256(block, offset, length, what);
  const digits = text(block, offset, length).trim();
  if (digits === '') return 0;
  if (!/^[0-7]+$/.test(digits)) throw new TarError(`a header has a malformed ${what}`);
  return parseInt(digits, 8);
}

function base256(block: Buffer, offset: number, length: number, what: string): number {
  const negative = block[offset] === 0xff;
  let value = BigInt(negative ? -1 : (block[offset] ?? 0) & 0x7f);
  for (let i = offset + 1; i < offset + length; i++) value = (value << 8n) | BigInt(block[i] ?? 0);
  if (value > BigInt(Number.MAX_SAFE_INTEGER) || value < BigInt(Number.MIN_SAFE_INTEGER)) {
    throw new TarError(`a header has an impossible ${what}`);
  }
  return Number(value);
}

function putText(block: Buffer, offset: number, length: number, value: string): void {
  if (value.length > length) throw new RangeError(`${value.length} bytes do not fit a tar header field of ${length}`);
  block.write(value, offset, 'latin1');
}

function putNumber(block: Buffer, offset: number, length: number, value: number): void {
  const octal = value >= 0 ? value.toString(8) : undefined;
  if (octal !== undefined && octal.length < length) {
    block.write(octal.padStart(length - 1, '0'), offset, 'latin1');
    return;
  }
  let rest = BigInt(value);
  for (let i = offset + length - 1; i >= offset; i--, rest >>= 8n) block[i] = Number(rest & 0xffn);
  block[offset] = value < 0 ? 0xff : 0x80;
}
