import { createWriteStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { openTar } from '../../../host/processes/decompress.ts';
import { TarError, type TarEntry } from '../../../utils/tar/header.ts';
import { readTar } from '../../../utils/tar/reader.ts';
import { isRootMember } from './root-tarball.ts';

/** The limits of an archive of images. */
const MAX_MEMBERS = 100_000;
const MAX_BYTES = 256 * 2 ** 30;
const MAX_LINKS = 8;
/** Bytes of long names and other extended headers of all members: the names are in memory. */
const MAX_HEADER_BYTES = 64 * 2 ** 20;

/** The members of an archive, found by name. Extracted files have generated names: the archive determines no path. */
export interface Unpacked {
  /** The file of a member, symlinks inside the archive followed; undefined when there is none. */
  path(name: string): string | undefined;
}

/**
 * Reads a tar, plain or compressed, into a directory: regular files only, `blobs/sha256/<hex>`, `oci-layout` and
 * `index.json` under their own names, everything else numbered.
 * undefined for a root filesystem, of which nothing is read on.
 * @throws TarError, CriError INVALID_ARGUMENT, or an error of zlib, for what is no tar or too large.
 */
export async function unpackArchive(
  path: string,
  directory: string,
  signal: AbortSignal | undefined,
): Promise<Unpacked | undefined> {
  const files = new Map<string, string>();
  const links = new Map<string, string>();
  let members = 0;
  let bytes = 0;
  for await (const { entry, content } of readTar(await openTar(path), MAX_HEADER_BYTES)) {
    signal?.throwIfAborted();
    if (++members > MAX_MEMBERS) throw new TarError(`the archive has more than ${MAX_MEMBERS} members`);
    bytes += entry.size;
    if (bytes > MAX_BYTES) throw new TarError('the archive is too large');
    const name = normalise(entry.name);
    if (isRootMember(name)) return undefined;
    if (entry.type === 'symlink' || entry.type === 'hardlink') links.set(name, linkTarget(entry, name));
    if (entry.type !== 'file' || files.has(name)) continue;
    if (entry.sparse) throw new TarError('archives of images with sparse files are not supported');
    const file = join(directory, isLayoutName(name) ? name : `member-${members}`);
    await mkdir(dirname(file), { recursive: true, mode: 0o700 });
    await pipeline(content, createWriteStream(file, { flags: 'wx', mode: 0o600 }), { ...(signal ? { signal } : {}) });
    files.set(name, file);
  }
  return {
    path: (wanted) => {
      let name = normalise(wanted);
      for (let hops = 0; hops < MAX_LINKS && !files.has(name); hops++) name = links.get(name) ?? name;
      return files.get(name);
    },
  };
}

/** Known names, which are safe. */
function isLayoutName(name: string): boolean {
  return name === 'oci-layout' || name === 'index.json' || /^blobs\/sha256\/[0-9a-f]{64}$/.test(name);
}

/** A name without `.`, empty components and `..` (which cannot leave a map of names). */
function normalise(name: string): string {
  const parts: string[] = [];
  for (const part of name.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '' && part !== '.') parts.push(part);
  }
  return parts.join('/');
}

/** docker save writes a repeated layer as a symlink to the first one's layer.tar. */
function linkTarget({ type, linkName }: TarEntry, name: string): string {
  return normalise(type === 'symlink' && !linkName.startsWith('/') ? `${dirname(name)}/${linkName}` : linkName);
}
