import { createHash } from 'node:crypto';
import * as z from 'zod';
import { CriError, StatusCode } from '../../model/errors.ts';
import type { LayerDescriptor, SourceImage } from '../../model/image.ts';

const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
const CONFIG = 'application/vnd.oci.image.config.v1+json';
/** The media type of a layer whose tar is not compressed. */
export const PLAIN_LAYER = 'application/vnd.oci.image.layer.v1.tar';

const manifestSchema = z.object({
  layers: z.array(z.object({ mediaType: z.string(), digest: z.string(), size: z.number() })),
});

/** The layers of a manifest. @throws CriError INVALID_ARGUMENT for another document. */
export function layersOf(manifest: Buffer): LayerDescriptor[] {
  try {
    return manifestSchema.parse(JSON.parse(manifest.toString('utf8'))).layers;
  } catch (error) {
    throw new CriError(StatusCode.INVALID_ARGUMENT, 'manifest: is not that of an image', { cause: error });
  }
}

/** An image of this node's own, with a new manifest. @param open gives the bytes of those layers that are not in the store. */
export function ownImage(config: Buffer, layers: LayerDescriptor[], open: SourceImage['openLayer']): SourceImage {
  const manifest = {
    schemaVersion: 2,
    mediaType: MANIFEST,
    config: { mediaType: CONFIG, digest: digestOf(config), size: config.length },
    layers,
  };
  return storedImage(config, Buffer.from(JSON.stringify(manifest)), open);
}

/** An image of these documents. @param open gives the bytes of those layers that are not in the store. */
export function storedImage(config: Buffer, manifest: Buffer, open: SourceImage['openLayer']): SourceImage {
  const digest = digestOf(manifest);
  return {
    digest,
    manifestDigest: digest,
    manifest,
    configDigest: digestOf(config),
    config,
    layers: layersOf(manifest),
    names: [],
    openLayer: open,
    close: () => Promise.resolve(),
  };
}

function digestOf(data: Buffer): string {
  return `sha256:${createHash('sha256').update(data).digest('hex')}`;
}
