import type { AskSecret, DescribedImage, Description, ListedEntry } from '../cli/bfc/files.ts';
import { CriError } from '../core/model/errors.ts';
import { BfcError } from '../integrations/bfc/errors.ts';
import { ContainerLayout } from '../integrations/bfc/images/container-layout.ts';
import type { BfcEntry } from '../integrations/bfc/format/container-index.ts';
import { type BfcReader, openBfc } from '../integrations/bfc/reader.ts';
import { listLayoutImages } from '../integrations/oci/archive/list-images.ts';
import { encryptionIn, openFile } from './open.ts';

/** Entries that are given out at a time. */
const BATCH = 500;

/** See BfcFiles. */
export async function describe(file: string, secret: AskSecret): Promise<Description> {
  await using reader = await openFile(file, secret, { without: true });
  const count = { files: 0, directories: 0, symlinks: 0, compressedFiles: 0, encryptedFiles: 0 };
  let [bytes, storedBytes] = [0, 0];
  for (const { type, compressed, encrypted, size, stored } of reader.index) {
    if (type === 'directory') count.directories++;
    else if (type === 'symlink') count.symlinks++;
    else {
      count.files++;
      bytes += size;
      storedBytes += stored;
      if (compressed) count.compressedFiles++;
      if (encrypted) count.encryptedFiles++;
    }
  }
  const kind = encryptionIn(reader);
  const { layout, images, problem } = await describedImages(reader);
  return {
    file,
    size: reader.size,
    uuid: uuidText(reader.header.uuid),
    layout,
    checksums: reader.header.crc,
    compression: count.compressedFiles > 0 ? 'zstd' : 'none',
    encryption: kind === 'key' ? 'key file' : kind,
    ...count,
    bytes,
    storedBytes,
    unusedBytes: reader.index.unusedBytes,
    images,
    imagesProblem: problem,
  };
}

/** The images in an open file; undefined when it is encrypted and its key is not known. */
export async function describedImages(
  reader: BfcReader,
): Promise<{ layout: Description['layout']; images: DescribedImage[] | undefined; problem: string | undefined }> {
  // It would close the reader, which is the caller's.
  const container = new ContainerLayout(reader);
  const kinds = { 'image layout': ['oci-layout', 'index.json'], manifest: ['manifest.json', 'config.json'] } as const;
  const markers = Object.entries(kinds) as [keyof typeof kinds, readonly string[]][];
  const [layout] = markers.find(([, paths]) => paths.every((path) => container.has(path))) ?? [];
  if (layout === undefined) return { layout: 'files', images: [], problem: undefined };
  try {
    const images = (await listLayoutImages(container.files)) ?? [];
    return {
      layout,
      images: images.map(({ names, digest, id, platform, layers, missing }) => ({
        ...{ names, digest, id, platform },
        layers: layers.length,
        size: layers.reduce((sum, { size }) => sum + size, 0),
        missing: [...missing, ...container.missing(layers).map((layer) => layer.digest)],
      })),
      problem: undefined,
    };
  } catch (error) {
    if (error instanceof BfcError && error.problem === 'key') return { layout, images: undefined, problem: undefined };
    // Any directory may have files of these names.
    if (!(error instanceof CriError)) throw error;
    return { layout, images: [], problem: error.message };
  }
}

/** See BfcFiles. */
export async function* list(file: string): AsyncGenerator<ListedEntry[]> {
  await using reader = await openBfc(file);
  let batch: ListedEntry[] = [];
  for (const entry of reader.index) {
    batch.push(await listed(reader, entry));
    if (batch.length < BATCH) continue;
    yield batch;
    batch = [];
  }
  yield batch;
}

/** Targets of symlinks are not encrypted. */
async function listed(reader: BfcReader, entry: BfcEntry): Promise<ListedEntry> {
  const { path, type, mode, mtime, size, stored, compressed, encrypted } = entry;
  let target: Buffer | undefined;
  if (type === 'symlink') for await (const bytes of reader.read(entry)) target = bytes;
  return {
    path: Buffer.from(path, 'latin1'),
    ...{ type, mode, mtime, size, storedSize: stored, compressed, encrypted, target },
  };
}

function uuidText(uuid: Buffer): string {
  return uuid.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
