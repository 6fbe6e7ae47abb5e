import type { LayoutFiles } from '../../../core/model/image-layout.ts';
import type { LayerDescriptor } from '../../../core/model/image.ts';
import { digestOf } from '../digest.ts';
import { type Descriptor, parseManifest } from '../manifest.ts';
import { isAttestation } from '../platform.ts';
import { parseJson } from './documents.ts';
import { blobPath, namesOf } from './layout.ts';

/** Documents that are read of one layout. */
const MAX_DOCUMENTS = 1000;

/** An image of a layout, for any platform. */
export interface ListedImage {
  names: string[];
  /** Digest of its manifest. */
  digest: string;
  /** Digest of its configuration, which is its id in a store; undefined when the manifest is missing. */
  id: string | undefined;
  /** `linux/amd64`; undefined when the configuration is missing. */
  platform: string | undefined;
  layers: LayerDescriptor[];
  /** Digests of documents that the layout lacks. */
  missing: string[];
}

/**
 * The images of an OCI image layout, or of the sketch before it, for all platforms; undefined for other files. Documents that are
 * missing are reported, not refused: an index may name images of other machines that were not copied.
 * @throws CriError INVALID_ARGUMENT for a malformed document, DATA_LOSS for one above 4 MiB.
 */
export async function listLayoutImages(files: LayoutFiles): Promise<ListedImage[] | undefined> {
  const index = (await files.document('oci-layout')) && (await files.document('index.json'));
  if (!index) return sketchImage(files);
  const images = new Map<string, ListedImage>();
  const read = new Set<string>();
  const list = async ({ digest }: Pick<Descriptor, 'digest'>, names: string[]): Promise<void> => {
    const known = images.get(digest);
    if (known) known.names = [...new Set([...known.names, ...names])];
    if (read.has(digest) || read.size >= MAX_DOCUMENTS) return;
    read.add(digest);
    const document = await files.document(blobPath(digest));
    if (!document) {
      images.set(digest, { names, digest, id: undefined, platform: undefined, layers: [], missing: [digest] });
      return;
    }
    const parsed = parseManifest(document, `manifest ${digest}`);
    if (parsed.kind === 'image') images.set(digest, await describe(files, { names, digest }, parsed));
    else for (const each of parsed.manifests) if (!isAttestation(each)) await list(each, names);
  };
  const parsed = parseManifest(index, 'index.json');
  for (const each of parsed.kind === 'index' ? parsed.manifests : []) await list(each, namesOf(each));
  return [...images.values()];
}

async function sketchImage(files: LayoutFiles): Promise<ListedImage[] | undefined> {
  const manifest = await files.document('manifest.json');
  const config = manifest && (await files.document('config.json'));
  if (!config) return undefined;
  const parsed = parseManifest(manifest, 'manifest.json');
  if (parsed.kind !== 'image') return [];
  const { annotations } = parseJson(manifest, 'manifest.json') as Pick<Descriptor, 'annotations'>;
  const image = { names: namesOf({ annotations }), digest: digestOf(manifest) };
  return [await describe(files, image, parsed, config)];
}

async function describe(
  files: LayoutFiles,
  image: Pick<ListedImage, 'names' | 'digest'>,
  { config: { digest: id }, layers }: { config: Descriptor; layers: Descriptor[] },
  given?: Buffer,
): Promise<ListedImage> {
  const config = given ?? (await files.document(blobPath(id)));
  return {
    ...image,
    id,
    platform: config && platformOf(config, id),
    layers: layers.map(({ digest, size, mediaType }) => ({ digest, size, mediaType })),
    missing: config ? [] : [id],
  };
}

function platformOf(config: Buffer, id: string): string | undefined {
  const { os, architecture, variant } = parseJson(config, `config ${id}`) as Record<string, unknown>;
  const parts = [os, architecture, variant].filter((part) => typeof part === 'string' && part !== '');
  return parts.length < 2 ? undefined : parts.join('/');
}
