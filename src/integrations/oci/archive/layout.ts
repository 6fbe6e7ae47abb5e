import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { CriError, StatusCode } from '../../../core/model/errors.ts';
import type { ByteRange, LayerDescriptor, SourceImage } from '../../../core/model/image.ts';
import { measured, verified, verifyDigest } from '../digest.ts';
import { type Descriptor, parseManifest } from '../manifest.ts';
import type { Platform } from '../platform.ts';
import { resolveImage } from '../resolve.ts';
import { DocumentCount, readDocument } from './documents.ts';

/** Whole names, as containerd, podman and buildkit write them; the specification's own ref.name may be a tag alone. */
const NAME_KEYS = ['io.containerd.image.name', 'org.opencontainers.image.ref.name'];

/** Opens a blob of a source by its digest and size, verified. */
type OpenBlob = SourceImage['openLayer'];

/**
 * The images of an OCI image layout (image-layout.md) in a directory; undefined for another directory.
 * @throws CriError DATA_LOSS, INVALID_ARGUMENT for a broken one, NOT_FOUND when no image in it is for the platform.
 */
export async function readLayout(
  directory: string,
  platform: Platform,
  close: () => Promise<void>,
): Promise<SourceImage[] | undefined> {
  const marker = await readDocument(join(directory, 'oci-layout'), 'oci-layout');
  const index = await readDocument(join(directory, 'index.json'), 'index.json');
  if (!marker || !index) return undefined;
  const parsed = parseManifest(index, 'index.json');
  if (parsed.kind !== 'index') throw new CriError(StatusCode.INVALID_ARGUMENT, 'index.json: is not an index');
  const images: SourceImage[] = [];
  const documents = new DocumentCount();
  for (const descriptor of parsed.manifests) {
    const top = await readBlob(directory, descriptor);
    const image = await resolveImage(top, platform, (wanted) => readBlob(directory, wanted));
    documents.add(image);
    const openLayer: OpenBlob = (layer, signal, range) =>
      Promise.resolve(openBlob(blobPath(directory, layer.digest), layer, signal, range));
    images.push({ ...image, names: namesOf(descriptor), openLayer, close });
  }
  return mergeNames(images);
}

/** A file's bytes, verified against the descriptor, or a range of them. */
export function openBlob(path: string, layer: LayerDescriptor, signal?: AbortSignal, range?: ByteRange): Readable {
  const part = range && { start: range.offset, end: range.offset + range.length - 1 };
  const file = createReadStream(path, { highWaterMark: 262_144, ...part, ...(signal ? { signal } : {}) });
  const bytes = file as AsyncIterable<Buffer>;
  return Readable.from(range ? measured(bytes, layer, range) : verified(bytes, layer), {
    objectMode: false,
    highWaterMark: 262_144,
  });
}

/** The name in an index entry, when it is one: a tag alone names no image. */
function namesOf({ annotations }: Descriptor): string[] {
  const names = NAME_KEYS.flatMap((key) => annotations?.[key] ?? []);
  const whole = names.find((name) => /[/:]/.test(name));
  return whole === undefined ? [] : [whole];
}

/** Two entries of one manifest are one image with two names. */
function mergeNames(images: SourceImage[]): SourceImage[] {
  const byDigest = new Map<string, SourceImage>();
  for (const image of images) {
    const known = byDigest.get(image.digest);
    if (known) known.names = [...new Set([...known.names, ...image.names])];
    else byDigest.set(image.digest, image);
  }
  return [...byDigest.values()];
}

async function readBlob(directory: string, { digest }: Descriptor): Promise<Buffer> {
  const what = `blob ${digest}`;
  const data = await readDocument(blobPath(directory, digest), what);
  if (!data) throw new CriError(StatusCode.INVALID_ARGUMENT, `${what}: is missing in the image layout`);
  verifyDigest(what, data, digest);
  return data;
}

/** The digest's form has been checked when its descriptor was parsed. */
function blobPath(directory: string, digest: string): string {
  return join(directory, 'blobs', 'sha256', digest.replace(/^sha256:/, ''));
}
