import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { LayerDescriptor, SourceImage } from '../../model/image.ts';

const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
const CONFIG = 'application/vnd.oci.image.config.v1+json';
/** The media type of a layer whose tar is not compressed. */
export const PLAIN_LAYER = 'application/vnd.oci.image.layer.v1.tar';

const manifestSchema = z.object({
  layers: z.array(z.object({ mediaType: z.string(), digest: z.string(), size: z.number() })),
});

/** The layers of a manifest that this server has stored. */
export function layersOf(manifest: Buffer): LayerDescriptor[] {
  return manifestSchema.parse(JSON.parse(manifest.toString('utf8'))).layers;
}

/** An image of this node's own, with a new manifest. @param open gives the bytes of those layers that are not in the store. */
export function ownImage(config: Buffer, layers: LayerDescriptor[], open: SourceImage['openLayer']): SourceImage {
  const configDigest = digestOf(config);
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MANIFEST,
      config: { mediaType: CONFIG, digest: configDigest, size: config.length },
      layers,
    }),
  );
  const digest = digestOf(manifest);
  const close = () => Promise.resolve();
  return { digest, manifestDigest: digest, manifest, configDigest, config, layers, names: [], openLayer: open, close };
}

function digestOf(data: Buffer): string {
  return `sha256:${createHash('sha256').update(data).digest('hex')}`;
}
