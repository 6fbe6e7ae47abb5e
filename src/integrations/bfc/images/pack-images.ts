import type { SourceImage } from '../../../core/model/image.ts';
import type { BfcWriter } from '../writer.ts';

const MODE = 0o644;
/** The document `oci-layout` of an image layout. */
export const LAYOUT_MARKER = Buffer.from('{"imageLayoutVersion":"1.0.0"}');
/** Of manifests that do not say what they are. */
const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';

export interface PackImagesOptions {
  signal?: AbortSignal | undefined;
  /** Gets the bytes of layers that are done, and those of all of them. */
  progress?: ((done: number, total: number) => void) | undefined;
}

/**
 * Writes images into a BFC file as an OCI image layout, each blob once. Their layers are checked against their digests.
 * @throws what a layer or the writer fails with; the signal's reason.
 */
export async function packImages(
  writer: BfcWriter,
  images: readonly SourceImage[],
  { signal, progress }: PackImagesOptions = {},
): Promise<void> {
  const mtime = BigInt(Date.now()) * 1_000_000n;
  const written = new Set<string>();
  const add = async (path: string, size: number, content: AsyncIterable<Buffer> | Iterable<Buffer>) => {
    if (!written.has(path)) await writer.addFile(path, { mode: MODE, mtime, size }, content);
    written.add(path);
  };
  const small = (path: string, content: Buffer) => add(path, content.length, [content]);
  const layers = new Map(images.flatMap((image) => image.layers.map((layer) => [layer.digest, { image, layer }])));
  const total = [...layers.values()].reduce((sum, { layer }) => sum + layer.size, 0);
  let done = 0;
  await small('oci-layout', LAYOUT_MARKER);
  await small('index.json', indexOf(images));
  for (const { configDigest, config, manifestDigest, manifest } of images) {
    await small(blobPath(manifestDigest), manifest);
    await small(blobPath(configDigest), config);
  }
  for (const { image, layer } of layers.values()) {
    signal?.throwIfAborted();
    const bytes = await image.openLayer(layer, signal);
    await add(blobPath(layer.digest), layer.size, counted(bytes as AsyncIterable<Buffer>));
  }

  async function* counted(bytes: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const chunk of bytes) {
      yield chunk;
      progress?.((done += chunk.length), total);
    }
  }
}

/** The document `index.json` of an image layout: an entry for each name of each image. */
export function indexOf(images: readonly SourceImage[]): Buffer {
  const manifests = images.flatMap(({ manifest, manifestDigest: digest, names }) => {
    const { mediaType = MANIFEST } = JSON.parse(manifest.toString('utf8')) as { mediaType?: string };
    const entry = { mediaType, digest, size: manifest.length };
    if (names.length === 0) return [entry];
    return names.map((name) => ({
      ...entry,
      annotations: { 'io.containerd.image.name': name, 'org.opencontainers.image.ref.name': name },
    }));
  });
  return Buffer.from(JSON.stringify({ schemaVersion: 2, manifests }));
}

/** Where a blob is in an image layout. */
export function blobPath(digest: string): string {
  return `blobs/${digest.replace(':', '/')}`;
}
