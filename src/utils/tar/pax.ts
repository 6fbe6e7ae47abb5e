import { TarError } from './header.ts';

const XATTR = 'SCHILY.xattr.';

/**
 * The records of a pax extended header (POSIX pax, "pax Extended Header"). Values are bytes, for extended attributes.
 */
export function parsePax(data: Buffer): Map<string, Buffer> {
  const records = new Map<string, Buffer>();
  // The only repeated keys: each pair is a piece of a sparse file (GNU tar, PAX version 0.0).
  const pieces: string[] = [];
  let offset = 0;
  while (offset < data.length && data[offset] !== 0) {
    const space = data.indexOf(0x20, offset);
    const digits = space < 0 ? '' : data.toString('latin1', offset, space);
    const length = /^[1-9]\d{0,8}$/.test(digits) ? parseInt(digits, 10) : 0;
    const end = offset + length;
    const equals = data.indexOf(0x3d, space);
    if (length === 0 || end > data.length || equals < 0 || equals >= end || data[end - 1] !== 0x0a) {
      throw new TarError('a pax header is malformed');
    }
    const key = data.toString('latin1', space + 1, equals);
    const value = data.subarray(equals + 1, end - 1);
    if (key === 'GNU.sparse.offset' || key === 'GNU.sparse.numbytes') pieces.push(value.toString('latin1'));
    else records.set(key, value);
    offset = end;
  }
  if (pieces.length > 0) records.set('GNU.sparse.map', Buffer.from(pieces.join(',')));
  return records;
}

/** Formats a pax extended header's content. Keys are Latin-1 strings. */
export function formatPax(records: Iterable<[string, Buffer]>): Buffer {
  return Buffer.concat([...records].map(([key, value]) => formatRecord(Buffer.from(`${key}=`, 'latin1'), value)));
}

/** The extended attributes among pax records, by name. */
export function xattrsOf(records: ReadonlyMap<string, Buffer>): Map<string, Buffer> {
  const xattrs = new Map<string, Buffer>();
  for (const [key, value] of records) if (key.startsWith(XATTR)) xattrs.set(key.slice(XATTR.length), value);
  return xattrs;
}

/** Extended attributes as pax records. */
export function xattrRecords(xattrs: ReadonlyMap<string, Buffer>): [string, Buffer][] {
  return [...xattrs].map(([name, value]) => [XATTR + name, value]);
}

/** `length key=value\n`, where the length counts its own digits. */
function formatRecord(key: Buffer, value: Buffer): Buffer {
  const rest = 1 + key.length + value.length + 1;
  let length = rest + 1;
  while (String(length).length + rest !== length) length = String(length).length + rest;
  return Buffer.concat([Buffer.from(`${length} `), key, value, Buffer.from('\n')]);
}
