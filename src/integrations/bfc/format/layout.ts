import { type CrcVariant, crc32c } from './crc32c.ts';
import { BfcError, type BfcPlace } from '../errors.ts';
import { MAX_PATH_BYTES } from './path-rules.ts';

/*
 * A BFC file is a header, the objects one after another, the index, and a footer; all integers are little-endian. docs/bfc.md
 * describes it byte by byte.
 */

export const HEADER_BYTES = 4096;
export const OBJECT_HEADER_BYTES = 40;
/** Of an index entry, behind its path. */
export const INDEX_TAIL_BYTES = 48;
export const INDEX_HEAD_BYTES = 8;
export const FOOTER_BYTES = 56;
export const SALT_BYTES = 32;
const INDEX_VERSION = 1;
/** The content of an object begins at a multiple of this from the object's own beginning. */
const ALIGNMENT = 16;

const MAGIC = Buffer.from('BFCFv1\0\0', 'latin1');
const FOOTER_MAGIC = Buffer.from('BFCFIDX\0', 'latin1');
const END_MAGIC = Buffer.from('BFCFEND\0', 'latin1');

/** Bits of the header's features, which readers do not need. */
export const FEATURE_ZSTD = 1;
export const FEATURE_ENCRYPTION = 2;

const FORMAT_BITS = 0o170000;
const TYPES = { file: 1, directory: 2, symlink: 3 } as const;
const MODES = { file: 0o100000, directory: 0o040000, symlink: 0o120000 } as const;

export type BfcType = keyof typeof TYPES;

/** The first 4096 bytes. */
export interface Header {
  crc: CrcVariant;
  /** Said by its maker; means nothing. */
  blockSize: number;
  features: number;
  /** 16 bytes. */
  uuid: Buffer;
  /** 32 bytes, of which a password's key takes the first 16; all zero in a file with a key file or without encryption. */
  salt: Buffer;
}

/** What an object's header and its index entry both say of it. */
export interface ObjectFacts {
  type: BfcType;
  /** Permission bits with setuid, setgid and sticky, 0–07777. */
  mode: number;
  /** Nanoseconds since 1970. */
  mtime: bigint;
  /** Bytes of the content as it was put in. */
  size: number;
  compressed: boolean;
  encrypted: boolean;
  /** Of the content as it was put in. */
  crc32c: number;
}

export function encodeHeader({ crc, blockSize, features, uuid, salt }: Header): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES);
  MAGIC.copy(bytes);
  bytes.writeUInt32LE(blockSize, 12);
  bytes.writeUInt32LE(features, 16);
  uuid.copy(bytes, 24, 0, 16);
  salt.copy(bytes, 40, 0, SALT_BYTES);
  bytes.writeUInt32LE(crc32c(crc, bytes.subarray(12)), 8);
  return bytes;
}

/** Finds out which checksum the file has. @throws BfcError for another kind of file, or a damaged header. */
export function decodeHeader(bytes: Buffer, place: BfcPlace): Header {
  if (!isHeader(bytes)) throw new BfcError('not-bfc', place, 'is not a BFC file');
  const stated = bytes.readUInt32LE(8);
  const rest = bytes.subarray(12, HEADER_BYTES);
  const crc = (['raw', 'standard'] as const).find((variant) => crc32c(variant, rest) === stated);
  if (crc === undefined)
    throw new BfcError('damaged', { ...place, offset: 8 }, 'the header is damaged: wrong checksum');
  return {
    crc,
    blockSize: bytes.readUInt32LE(12),
    features: bytes.readUInt32LE(16),
    uuid: bytes.subarray(24, 40),
    salt: bytes.subarray(40, 40 + SALT_BYTES),
  };
}

/** Whether a file that begins so is meant to be a BFC file. */
export function isHeader(bytes: Buffer): boolean {
  return bytes.subarray(0, MAGIC.length).equals(MAGIC);
}

/** Zeros between an object's name, or a symlink's target, and what follows. */
export function padding(bytes: number): number {
  return (ALIGNMENT - (bytes % ALIGNMENT)) % ALIGNMENT;
}

/** Bytes of an object in front of its content. */
export function contentOffset(nameBytes: number): number {
  const bytes = OBJECT_HEADER_BYTES + nameBytes;
  return bytes + padding(bytes);
}

/** Where heads and index entries are made: a buffer for each costs more than to fill it. */
const made = Buffer.alloc(OBJECT_HEADER_BYTES + INDEX_TAIL_BYTES + MAX_PATH_BYTES);
const madeView = new DataView(made.buffer, made.byteOffset, made.length);

/**
 * Header, name and padding of an object, valid until the next head or index entry is made. `stored`: bytes of its content in the file,
 * without the padding behind a symlink's.
 */
export function encodeObjectHead(path: string, facts: ObjectFacts, stored: number): Buffer {
  const nameEnd = OBJECT_HEADER_BYTES + made.write(path, OBJECT_HEADER_BYTES, 'latin1');
  const end = contentOffset(path.length);
  made.fill(0, nameEnd, end);
  madeView.setUint32(0, TYPES[facts.type] | (facts.compressed ? 0x100 : 0) | (facts.encrypted ? 0x10000 : 0), true);
  madeView.setUint32(4, path.length, true);
  madeView.setUint32(8, MODES[facts.type] | facts.mode, true);
  madeView.setBigInt64(12, facts.mtime, true);
  setUint64(20, facts.size);
  setUint64(28, stored);
  madeView.setUint32(36, facts.crc32c, true);
  return made.subarray(0, end);
}

/** An index entry: the path with its length, and where the object is; valid until the next head or index entry is made. */
export function encodeIndexEntry(path: string, facts: ObjectFacts, offset: number, objectSize: number): Buffer {
  const tail = 4 + made.write(path, 4, 'latin1');
  madeView.setUint32(0, path.length, true);
  setUint64(tail, offset);
  setUint64(tail + 8, objectSize);
  madeView.setUint32(tail + 16, MODES[facts.type] | facts.mode, true);
  madeView.setBigInt64(tail + 20, facts.mtime, true);
  madeView.setUint32(tail + 28, facts.compressed ? 1 : 0, true);
  madeView.setUint32(tail + 32, facts.encrypted ? 1 : 0, true);
  setUint64(tail + 36, facts.size);
  madeView.setUint32(tail + 44, facts.crc32c, true);
  return made.subarray(0, tail + INDEX_TAIL_BYTES);
}

function setUint64(offset: number, value: number): void {
  madeView.setUint32(offset, value % 2 ** 32, true);
  madeView.setUint32(offset + 4, Math.floor(value / 2 ** 32), true);
}

/** What stands before the first index entry. */
export function encodeIndexHead(count: number): Buffer {
  const bytes = Buffer.alloc(INDEX_HEAD_BYTES);
  bytes.writeUInt32LE(INDEX_VERSION, 0);
  bytes.writeUInt32LE(count, 4);
  return bytes;
}

/** The number of entries that an index announces. @throws BfcError for another version. */
export function decodeIndexHead(bytes: Buffer, place: BfcPlace): number {
  const version = bytes.readUInt32LE(0);
  if (version !== INDEX_VERSION)
    throw new BfcError('unsupported', place, `the index has the unknown version ${version}`);
  return bytes.readUInt32LE(4);
}

/** Where the index is. */
export interface Footer {
  indexOffset: number;
  indexSize: number;
  indexCrc: number;
}

export function encodeFooter({ indexOffset, indexSize, indexCrc }: Footer): Buffer {
  const bytes = Buffer.alloc(FOOTER_BYTES);
  FOOTER_MAGIC.copy(bytes);
  writeUInt64(bytes, indexSize, 8);
  bytes.writeUInt32LE(indexCrc, 16);
  writeUInt64(bytes, indexOffset, 20);
  END_MAGIC.copy(bytes, 48);
  return bytes;
}

/**
 * Reads the footer of a file of `fileSize` bytes. @throws BfcError `truncated` where it has none, `malformed` where the index that
 * it names is not directly before it.
 */
export function decodeFooter(bytes: Buffer, fileSize: number, place: BfcPlace): Footer {
  const offset = fileSize - FOOTER_BYTES;
  const isMarked = bytes.subarray(0, 8).equals(FOOTER_MAGIC) && bytes.subarray(48).equals(END_MAGIC);
  if (!isMarked) {
    throw new BfcError('truncated', { ...place, offset }, 'the end of the file is missing; copy it again');
  }
  const indexSize = readUInt64(bytes, 8);
  const indexOffset = readUInt64(bytes, 20);
  if (!(indexOffset >= HEADER_BYTES && indexSize >= INDEX_HEAD_BYTES && indexOffset + indexSize === offset)) {
    throw new BfcError('malformed', { ...place, offset }, 'the index is not where the footer says');
  }
  return { indexOffset, indexSize, indexCrc: bytes.readUInt32LE(16) };
}

/** The kind of file that mode bits mean; undefined for others, and for bits that mean nothing. */
export function typeOfMode(mode: number): BfcType | undefined {
  if (mode >>> 16 !== 0) return undefined;
  switch (mode & FORMAT_BITS) {
    case MODES.file:
      return 'file';
    case MODES.directory:
      return 'directory';
    case MODES.symlink:
      return 'symlink';
    default:
      return undefined;
  }
}

/** Why a header of an object does not belong to an index entry; undefined when it does. `head`: header, name and padding. */
export function disagreement(head: Buffer, path: string, facts: ObjectFacts, stored: number): string | undefined {
  const expected = encodeObjectHead(path, facts, stored);
  if (head.equals(expected)) return undefined;
  if (head.length !== expected.length) return 'is cut off';
  const at = head.findIndex((byte, index) => byte !== expected[index]);
  const [, field] = FIELDS.findLast(([start]) => at >= start) ?? [0, ''];
  return `its header and the index disagree in the ${at >= OBJECT_HEADER_BYTES + path.length ? 'padding' : field}`;
}

/** Where the fields of an object's header begin. */
const FIELDS: readonly [number, string][] = [
  [0, 'type'],
  [1, 'compression'],
  [2, 'encryption'],
  [3, 'reserved byte'],
  [4, 'length of the name'],
  [6, 'padding'],
  [8, 'mode'],
  [12, 'modification time'],
  [20, 'size'],
  [28, 'stored size'],
  [36, 'checksum'],
  [OBJECT_HEADER_BYTES, 'name'],
];

/** NaN for a number that is no offset of any file. */
function readUInt64(bytes: Buffer, offset: number): number {
  const high = bytes.readUInt32LE(offset + 4);
  return high < 2 ** 21 ? high * 2 ** 32 + bytes.readUInt32LE(offset) : NaN;
}

function writeUInt64(bytes: Buffer, value: number, offset: number): void {
  bytes.writeUInt32LE(value % 2 ** 32, offset);
  bytes.writeUInt32LE(Math.floor(value / 2 ** 32), offset + 4);
}
