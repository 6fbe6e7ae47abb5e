import { CriError, StatusCode } from '../../core/model/errors.ts';
import type { SourceImage } from '../../core/model/image.ts';
import { digestOf, verifyDigest } from './digest.ts';
import { type Descriptor, MAX_DOCUMENT, parseManifest } from './manifest.ts';
import { choosePlatform, type Platform } from './platform.ts';

/** Maximum nesting of indexes. */
const MAX_DEPTH = 3;
/** Manifests and indexes read for one image. */
const MAX_DOCUMENTS = 16;

/** Fetches a document by its descriptor; verification is the caller's. */
export type FetchDocument = (descriptor: Descriptor, kind: 'manifest' | 'blob') => Promise<Buffer>;

/** The result of a top-level document for a platform, all of it verified. */
export type ResolvedImage = Pick<
  SourceImage,
  'digest' | 'manifestDigest' | 'manifest' | 'configDigest' | 'config' | 'layers'
>;

/**
 * Resolves the document of a reference to one platform's manifest and configuration.
 * @throws CriError DATA_LOSS for a document with another digest, and as parseManifest and choosePlatform.
 */
export async function resolveImage(top: Buffer, platform: Platform, fetch: FetchDocument): Promise<ResolvedImage> {
  const digest = digestOf(top);
  let documents = 0;
  const descend = async (manifest: Buffer, manifestDigest: string, depth: number): Promise<ResolvedImage> => {
    if (depth >= MAX_DEPTH || ++documents > MAX_DOCUMENTS) {
      throw new CriError(StatusCode.INVALID_ARGUMENT, `manifest ${digest}: indexes are nested too deeply`);
    }
    const parsed = parseManifest(manifest, `manifest ${manifestDigest}`);
    if (parsed.kind === 'image') {
      const config = await fetchVerified(parsed.config, 'blob', fetch);
      const layers = parsed.layers.map(({ mediaType, size, digest }) => ({ mediaType, size, digest }));
      return { digest, manifestDigest, manifest, configDigest: parsed.config.digest, config, layers };
    }
    let absent: unknown;
    for (const chosen of choosePlatform(parsed.manifests, platform)) {
      const document = await fetchVerified(chosen, 'manifest', fetch);
      try {
        return await descend(document, chosen.digest, depth + 1);
      } catch (error) {
        if (!(error instanceof CriError) || error.code !== StatusCode.NOT_FOUND) throw error;
        absent = error;
      }
    }
    throw absent;
  };
  return descend(top, digest, 0);
}

async function fetchVerified(descriptor: Descriptor, kind: 'manifest' | 'blob', fetch: FetchDocument): Promise<Buffer> {
  const what = `${kind} ${descriptor.digest}`;
  if (descriptor.size > MAX_DOCUMENT) throw new CriError(StatusCode.INVALID_ARGUMENT, `${what}: is larger than 4 MiB`);
  const data = await fetch(descriptor, kind);
  verifyDigest(what, data, descriptor.digest);
  return data;
}
