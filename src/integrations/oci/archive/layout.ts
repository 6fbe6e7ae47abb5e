import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import * as z from 'zod';
import { CriError, StatusCode } from '../../../core/model/errors.ts';
import type { LayoutFiles } from '../../../core/model/image-layout.ts';
import type { ByteRange, LayerDescriptor, SourceImage } from '../../../core/model/image.ts';
import { digestOf, measured, verified, verifyDigest } from '../digest.ts';
import { type Descriptor, parseManifest } from '../manifest.ts';
import type { Platform } from '../platform.ts';
import { type ResolvedImage, resolveImage } from '../resolve.ts';
import { DocumentCount, readDocument } from './documents.ts';

/** Whole names, as containerd, podman and buildkit write them; the specification's own ref.name may be a tag alone. */
const NAME_KEYS = ['io.containerd.image.name', 'org.opencontainers.image.ref.name'];

/**
 * The images of an OCI image layout (image-layout.md) in a directory; undefined for another directory.
 * @throws as {@link readImageLayout}.
 */
export function readLayout(
  directory: string,
  platform: Platform,
  close: () => Promise<void>,
): Promise<SourceImage[] | undefined> {
  return readImageLayout(
    {
      document: (path) => readDocument(join(directory, path), path),
      open: (path, { signal, range }) => readFileBytes(join(directory, path), signal, range),
      close,
    },
    platform,
  );
}

/**
 * The images of an OCI image layout; undefined for other files.
 * @throws CriError DATA_LOSS, INVALID_ARGUMENT for a broken one, NOT_FOUND when no image in it is for the platform.
 */
export async function readImageLayout(files: LayoutFiles, platform: Platform): Promise<SourceImage[] | undefined> {
  const marker = await files.document('oci-layout');
  const index = await files.document('index.json');
  if (!marker || !index) return undefined;
  const parsed = parseManifest(index, 'index.json');
  if (parsed.kind !== 'index') throw new CriError(StatusCode.INVALID_ARGUMENT, 'index.json: is not an index');
  const images: SourceImage[] = [];
  const documents = new DocumentCount();
  for (const descriptor of parsed.manifests) {
    const top = await readBlob(files, descriptor);
    const image = await resolveImage(top, platform, (wanted) => readBlob(files, wanted));
    documents.add(image);
    images.push(sourceImage(files, image, namesOf(descriptor)));
  }
  return mergeNames(images);
}

/** As {@link readImageLayout} for `manifest.json` and `config.json` at the root, with layers as in an image layout. */
async function readSketch(files: LayoutFiles, platform: Platform): Promise<SourceImage[] | undefined> {
  const manifest = await files.document('manifest.json');
  const config = await files.document('config.json');
  if (!manifest || !config) return undefined;
  const image = await resolveImage(manifest, platform, ({ digest }) => {
    if (digest === digestOf(config)) return Promise.resolve(config);
    return readBlob(files, { digest });
  });
  const { annotations } = z
    .object({ annotations: z.record(z.string(), z.string()).nullish() })
    .parse(JSON.parse(manifest.toString('utf8')));
  return [sourceImage(files, image, namesOf({ annotations }))];
}

/** As {@link readImageLayout} or {@link readSketch}, whichever the files are. */
export async function readEitherLayout(files: LayoutFiles, platform: Platform): Promise<SourceImage[] | undefined> {
  return (await readImageLayout(files, platform)) ?? readSketch(files, platform);
}

function sourceImage(files: LayoutFiles, image: ResolvedImage, names: string[]): SourceImage {
  const openLayer: SourceImage['openLayer'] = (layer, signal, range) => {
    const bytes = files.open(blobPath(layer.digest), { signal, range });
    return Promise.resolve(checkedStream(bytes, layer, range));
  };
  const { isLocal = false } = files;
  return { ...image, names, openLayer, isLocal, close: () => files.close() };
}

/** A file's bytes, verified against the descriptor, or a range of them. */
export function openBlob(path: string, layer: LayerDescriptor, signal?: AbortSignal, range?: ByteRange): Readable {
  return checkedStream(readFileBytes(path, signal, range), layer, range);
}

function readFileBytes(path: string, signal?: AbortSignal, range?: ByteRange): AsyncIterable<Buffer> {
  const part = range && { start: range.offset, end: range.offset + range.length - 1 };
  return createReadStream(path, {
    highWaterMark: 262_144,
    ...part,
    ...(signal ? { signal } : {}),
  }) as AsyncIterable<Buffer>;
}

function checkedStream(bytes: AsyncIterable<Buffer>, layer: LayerDescriptor, range?: ByteRange): Readable {
  return Readable.from(range ? measured(bytes, layer, range) : verified(bytes, layer), {
    objectMode: false,
    highWaterMark: 262_144,
  });
}

/** The name in an index entry, when it is one: a tag alone names no image. */
export function namesOf({ annotations }: Pick<Descriptor, 'annotations'>): string[] {
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

async function readBlob(files: LayoutFiles, { digest }: { digest: string }): Promise<Buffer> {
  const what = `blob ${digest}`;
  const data = await files.document(blobPath(digest));
  if (!data) throw new CriError(StatusCode.INVALID_ARGUMENT, `${what}: is missing in the image layout`);
  verifyDigest(what, data, digest);
  return data;
}

/** Where a blob is in a layout. The digest's form has been checked when its descriptor was parsed. */
export function blobPath(digest: string): string {
  return `blobs/${digest.replace(':', '/')}`;
}
