import { ByteSource } from './byte-source.ts';
import { BLOCK, padding, parseHeader, TarError, type RawHeader, type TarEntry, type TarEntryType } from './header.ts';
import { parsePax, xattrsOf } from './pax.ts';
import { checkSparse, readGnuSparse, readPaxSparse } from './sparse.ts';

/** Largest pax header or GNU long name taken into memory; an xattr alone may have 64 KiB. */
const MAX_EXTENSION = 1_048_576;

const TYPES: Record<string, TarEntryType> = {
  '0': 'file',
  '\0': 'file',
  '7': 'file',
  S: 'file',
  '1': 'hardlink',
  '2': 'symlink',
  '3': 'character',
  '4': 'block',
  '5': 'directory',
  '6': 'fifo',
};

/** An entry with its content, which must be read (or is skipped) before the next entry is requested. */
export interface TarMember {
  entry: TarEntry;
  content: AsyncIterable<Buffer>;
}

interface Extensions {
  pax: Map<string, Buffer>;
  name: string | undefined;
  linkName: string | undefined;
}

/**
 * Reads a tar archive (POSIX ustar and pax; GNU long names, large numbers and sparse files) to the end of its stream. Global pax headers
 * are skipped, as container runtimes do.
 * @param maxHeaderBytes bytes that all extended headers (pax records, GNU long names) may have together.
 * @throws TarError for damage, and for types that container images do not use.
 */
export async function* readTar(chunks: AsyncIterable<Buffer>, maxHeaderBytes = Infinity): AsyncGenerator<TarMember> {
  const source = new ByteSource(chunks);
  try {
    let extensions: Extensions = { pax: new Map(), name: undefined, linkName: undefined };
    let headerBytes = 0;
    while (true) {
      const block = await source.read(BLOCK);
      if (!block) break;
      const raw = parseHeader(block);
      if (!raw) break;
      if (await readExtension(source, raw, extensions)) {
        headerBytes += raw.size;
        if (headerBytes > maxHeaderBytes) {
          throw new TarError(`the extended headers take more than ${maxHeaderBytes} bytes`);
        }
        continue;
      }
      const entry = await withSparseMap(combine(raw, extensions), raw, block, extensions.pax, source);
      extensions = { pax: new Map(), name: undefined, linkName: undefined };
      const end = source.offset + entry.size + padding(entry.size);
      yield { entry, content: source.chunks(entry.size) };
      // The padding, and the content that the consumer did not read.
      await source.skip(end - source.offset);
    }
    // Blocks after the end mark still count for the layer's digest.
    await source.drain();
  } finally {
    await source.close();
  }
}

/** Reads a header that only describes the next one. */
async function readExtension(source: ByteSource, raw: RawHeader, extensions: Extensions): Promise<boolean> {
  const { typeflag, size } = raw;
  if (!['x', 'g', 'L', 'K'].includes(typeflag)) return false;
  if (size < 0 || size > MAX_EXTENSION) throw new TarError(`an extended header of ${size} bytes is too large`);
  const data = size === 0 ? Buffer.alloc(0) : await source.read(size);
  await source.skip(padding(size));
  if (!data) throw new TarError('truncated archive');
  if (typeflag === 'x') extensions.pax = parsePax(data);
  else if (typeflag === 'L') extensions.name = untilNul(data);
  else if (typeflag === 'K') extensions.linkName = untilNul(data);
  return true;
}

function combine(raw: RawHeader, { pax, name, linkName }: Extensions): TarEntry {
  const path = paxText(pax, 'GNU.sparse.name') ?? paxText(pax, 'path') ?? name ?? raw.name;
  let type = TYPES[raw.typeflag];
  if (!type) throw new TarError(`${quote(path)}: unsupported entry type ${quote(raw.typeflag)}`);
  // Archives older than POSIX mark directories this way.
  if (type === 'file' && path.endsWith('/')) type = 'directory';
  const size = paxNumber(pax, 'size') ?? raw.size;
  if (size < 0) throw new TarError(`${quote(path)}: impossible size`);
  const isLink = type === 'symlink' || type === 'hardlink';
  if (type !== 'file' && size > 0 && !isLink && type !== 'directory') throw new TarError(`${quote(path)}: has content`);
  return {
    type,
    name: path,
    linkName: isLink ? (paxText(pax, 'linkpath') ?? linkName ?? raw.linkName) : '',
    // pax allows content after a hard link; images have none, and the size in a link's header has no meaning.
    size: type === 'file' ? size : 0,
    mode: raw.mode,
    uid: paxNumber(pax, 'uid') ?? raw.uid,
    gid: paxNumber(pax, 'gid') ?? raw.gid,
    mtime: paxTime(pax) ?? String(raw.mtime),
    deviceMajor: paxNumber(pax, 'SCHILY.devmajor') ?? raw.deviceMajor,
    deviceMinor: paxNumber(pax, 'SCHILY.devminor') ?? raw.deviceMinor,
    xattrs: xattrsOf(pax),
  };
}

/** Of a sparse file the size becomes that of the content that follows its map. */
async function withSparseMap(
  entry: TarEntry,
  raw: RawHeader,
  header: Buffer,
  pax: Map<string, Buffer>,
  source: ByteSource,
): Promise<TarEntry> {
  if (entry.type !== 'file') return entry;
  const found =
    raw.typeflag === 'S' ? { map: await readGnuSparse(header, source), mapBytes: 0 } : await readPaxSparse(pax, source);
  if (!found) return entry;
  const size = entry.size - found.mapBytes;
  checkSparse(found.map, size);
  return { ...entry, size, sparse: found.map };
}

function paxText(pax: Map<string, Buffer>, key: string): string | undefined {
  const value = pax.get(key)?.toString('latin1');
  return value === '' ? undefined : value;
}

function paxNumber(pax: Map<string, Buffer>, key: string): number | undefined {
  const value = paxText(pax, key);
  if (value === undefined) return undefined;
  const parsed = Number(value);
  if (!/^\d+$/.test(value) || !Number.isSafeInteger(parsed)) throw new TarError(`a pax header has a malformed ${key}`);
  return parsed;
}

function paxTime(pax: Map<string, Buffer>): string | undefined {
  const value = paxText(pax, 'mtime');
  if (value !== undefined && !/^-?\d{1,15}(\.\d{1,20})?$/.test(value))
    throw new TarError('a pax header has a malformed mtime');
  return value;
}

function untilNul(data: Buffer): string {
  const end = data.indexOf(0);
  return data.toString('latin1', 0, end < 0 ? data.length : end);
}

function quote(name: string): string {
  return JSON.stringify(name.slice(0, 300));
}
