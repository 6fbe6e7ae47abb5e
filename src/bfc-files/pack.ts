import { mkdtemp, realpath, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Packed, PackOptions } from '../cli/bfc/files.ts';
import { invalidArgument } from '../core/model/errors.ts';
import { formatReference, parseReference } from '../core/lifecycle/images/reference.ts';
import type { SourceImage } from '../core/model/image.ts';
import { BfcError } from '../integrations/bfc/errors.ts';
import { packImages } from '../integrations/bfc/images/pack-images.ts';
import { packDirectory } from '../integrations/bfc/pack.ts';
import { type BfcReader, openBfc } from '../integrations/bfc/reader.ts';
import { repackBfc } from '../integrations/bfc/repack.ts';
import { type BfcWriter, createBfc } from '../integrations/bfc/writer.ts';
import { ArchiveReader } from '../integrations/oci/archive-reader.ts';
import { isErrno } from '../utils/errors.ts';
import { exists } from '../utils/fs/exists.ts';
import { describedImages } from './describe.ts';
import { imagesIn, openFile } from './open.ts';
import { namingFullDisk } from './space.ts';
import { bytesBelow } from './bytes-below.ts';

/** See BfcFiles. */
export function pack(options: PackOptions): Promise<Packed> {
  return namingFullDisk(options.file, async () => {
    if (await isPlainDirectory(options.source)) return packFiles(options);
    if (await isBfc(options.source)) return packAgain(options);
    return packArchive(options);
  });
}

async function write(
  { file, secret, level, replaces, signal }: PackOptions,
  images: Packed['images'],
  fill: (writer: BfcWriter) => Promise<unknown>,
): Promise<Packed> {
  await using writer = await createBfc(file, { secret, compressionLevel: level, replaces });
  await fill(writer);
  signal.throwIfAborted();
  const { size } = await writer.finish();
  return { file, size, images };
}

async function packFiles(options: PackOptions): Promise<Packed> {
  const { source, file, signal, progress, skipped } = options;
  for (const [field, value] of Object.entries({ name: options.name, image: options.image })) {
    if (value !== undefined) throw invalidArgument(field, `${JSON.stringify(source)} is no image; omit it`);
  }
  const [top, place] = [await realpath(source), `${await realpath(dirname(file))}/`];
  if (place.startsWith(`${top}/`)) {
    throw invalidArgument('file', `${JSON.stringify(file)} is in the directory that is packed; write it elsewhere`);
  }
  let total: number | undefined;
  const over = new AbortController();
  void bytesBelow(source, AbortSignal.any([signal, over.signal])).then((bytes) => (total = bytes));
  const counted = ({ bytes }: { bytes: number }) => {
    progress(bytes, total === undefined ? undefined : Math.max(total, bytes));
  };
  try {
    return await write(options, [], (writer) => packDirectory(writer, source, { signal, progress: counted, skipped }));
  } finally {
    over.abort();
  }
}

/** Of a BFC file everything is taken as it is, unless it is about one image. */
async function packAgain(options: PackOptions): Promise<Packed> {
  const { source, sourceSecret, image, name, signal, progress } = options;
  const reader = await openFile(source, sourceSecret, { prefix: 'source-' });
  if (image !== undefined || name !== undefined) return packSome(options, await imagesIn(reader, image));
  await using open = reader;
  return await repack(options, open, signal, progress);
}

async function repack(
  options: PackOptions,
  reader: BfcReader,
  signal: AbortSignal,
  progress: PackOptions['progress'],
): Promise<Packed> {
  const { images = [] } = await describedImages(reader);
  const listed = images.flatMap(({ id, names }) => (id === undefined ? [] : [{ id, names }]));
  let total = 0;
  for (const { type, size } of reader.index) if (type === 'file') total += size;
  return write(options, listed, (writer) =>
    repackBfc(writer, reader, {
      signal,
      progress: ({ bytes }) => {
        progress(bytes, total);
      },
    }),
  );
}

async function packArchive(options: PackOptions): Promise<Packed> {
  const { source, image, signal, opened } = options;
  if (image !== undefined) throw invalidArgument('image', `${JSON.stringify(source)} is not a BFC file; omit it`);
  const temporary = await mkdtemp(join(options.temporary, 'bfc-'));
  const remedy = 'set TMPDIR to another directory';
  try {
    const reader = new ArchiveReader({ temporary: join(temporary, 'archive') });
    const images = await namingFullDisk(temporary, () => reader.open(source, signal), remedy);
    await opened?.();
    return await packSome(options, images);
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}

/** Writes images, and closes them. */
async function packSome(options: PackOptions, found: readonly SourceImage[]): Promise<Packed> {
  const { source, name, signal, progress } = options;
  try {
    if (name !== undefined && found.length > 1) {
      throw invalidArgument('name', `names one image, but ${JSON.stringify(source)} has ${found.length}; omit it`);
    }
    const given = name === undefined ? undefined : formatReference(parseReference(name, { field: 'name' }));
    const images = given === undefined ? found : found.map((image) => ({ ...image, names: [given] }));
    const listed = images.map(({ configDigest: id, names }) => ({ id, names }));
    return await write(options, listed, (writer) => packImages(writer, images, { signal, progress }));
  } finally {
    for (const image of found) await image.close();
  }
}

/** Whether it begins as a BFC file. @throws CriError for one that is damaged. */
async function isBfc(path: string): Promise<boolean> {
  try {
    // A layout is a directory, which the reader refuses.
    if ((await stat(path)).isDirectory()) return false;
    await (await openBfc(path)).close();
    return true;
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR', 'EACCES')) return false;
    if (error instanceof BfcError && error.problem === 'not-bfc') return false;
    throw error;
  }
}

/** Whether it is a directory of files, not an image layout. */
async function isPlainDirectory(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory() && !(await exists(join(path, 'oci-layout')));
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR', 'EACCES')) return false;
    throw error;
  }
}
