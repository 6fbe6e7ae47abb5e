import { BLOCK, formatHeader, padding, type RawHeader, type TarEntry, type TarEntryType } from './header.ts';
import { formatPax, xattrRecords } from './pax.ts';
import { formatSparse } from './sparse.ts';

const FLAGS: Record<TarEntryType, string> = {
  file: '0',
  hardlink: '1',
  symlink: '2',
  character: '3',
  block: '4',
  directory: '5',
  fifo: '6',
};

/** Two blocks of zeros. */
export const END_OF_ARCHIVE = Buffer.alloc(2 * BLOCK);

/**
 * The headers of one entry, to be followed by `entry.size` bytes of content and {@link padding}. Long names go into GNU
 * headers, which carry any bytes; extended attributes, fractions of seconds and sparse files into a pax header. GNU tar
 * reads both.
 */
export function formatEntry(entry: TarEntry): Buffer {
  const { name, linkName, mtime } = entry;
  const parts: Buffer[] = [];
  const records = xattrRecords(entry.xattrs);
  const map = entry.sparse ? formatSparse(entry.sparse) : Buffer.alloc(0);
  if (entry.sparse) {
    records.push(['GNU.sparse.major', Buffer.from('1')], ['GNU.sparse.minor', Buffer.from('0')]);
    records.push(['GNU.sparse.name', Buffer.from(name, 'latin1')]);
    records.push(['GNU.sparse.realsize', Buffer.from(String(entry.sparse.realSize))]);
  }
  if (mtime.includes('.')) records.push(['mtime', Buffer.from(mtime)]);
  if (records.length > 0) parts.push(extension('x', formatPax(records)));
  if (linkName.length > 100) parts.push(extension('K', Buffer.from(`${linkName}\0`, 'latin1')));
  if (name.length > 100) parts.push(extension('L', Buffer.from(`${name}\0`, 'latin1')));
  const header = formatHeader(
    {
      typeflag: FLAGS[entry.type],
      name: name.slice(0, 100),
      linkName: linkName.slice(0, 100),
      size: map.length + entry.size,
      mode: entry.mode,
      uid: entry.uid,
      gid: entry.gid,
      mtime: Math.floor(Number(mtime)),
      deviceMajor: entry.deviceMajor,
      deviceMinor: entry.deviceMinor,
    },
    // GNU tar looks for a sparse file's pax records behind no other mark.
    entry.sparse !== undefined,
  );
  parts.push(header, map);
  return Buffer.concat(parts);
}

function extension(typeflag: string, data: Buffer): Buffer {
  const header: RawHeader = {
    typeflag,
    name: '././@LongLink',
    linkName: '',
    size: data.length,
    mode: 0,
    uid: 0,
    gid: 0,
    mtime: 0,
    deviceMajor: 0,
    deviceMinor: 0,
  };
  return Buffer.concat([formatHeader(header), data, Buffer.alloc(padding(data.length))]);
}
