import * as z from 'zod';
import { CriError, failedPrecondition, StatusCode, unimplemented } from '../../core/model/errors.ts';
import { formatPlace } from '../../utils/errors.ts';
import { hasMoreValuesThan } from '../../utils/json.ts';

/** Largest manifest, index or configuration read (the distribution specification asks registries for 4 MiB). */
export const MAX_DOCUMENT = 4 * 1_048_576;

/** Values in a manifest or index: ten in each of the ten thousand entries that an index may have. */
export const MAX_VALUES = 100_000;

const descriptor = z.object({
  mediaType: z.string().default(''),
  digest: z.string().regex(/^sha256:[0-9a-f]{64}$/, 'must be a sha256 digest'),
  size: z.number().int().min(0),
  platform: z.object({ os: z.string(), architecture: z.string(), variant: z.string().optional() }).nullish(),
  annotations: z.record(z.string(), z.string()).nullish(),
});

const document = z.object({
  schemaVersion: z.literal(2),
  mediaType: z.string().optional(),
  // Go writes an empty list as null.
  manifests: z.array(descriptor).max(10_000).nullish(),
  config: descriptor.nullish(),
  layers: z.array(descriptor).max(1000).nullish(),
});

/** The reference of a manifest or index to another document or blob (OCI image specification, descriptor.md). */
export type Descriptor = z.output<typeof descriptor>;

export type Manifest =
  { kind: 'index'; manifests: Descriptor[] } | { kind: 'image'; config: Descriptor; layers: Descriptor[] };

/** Media types of documents that reference others, one per platform. */
export const INDEX_TYPES = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
];

/** Media types asked of registries, for `Accept`. */
export const MANIFEST_TYPES = [
  ...INDEX_TYPES,
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
];

const CONFIG_TYPES = ['application/vnd.oci.image.config.v1+json', 'application/vnd.docker.container.image.v1+json', ''];

const LAYER_TYPE =
  /^(?:application\/vnd\.oci\.image\.layer\.v1\.tar(?:\+gzip|\+zstd)?|application\/vnd\.docker\.image\.rootfs\.diff\.tar(?:\.gzip|\.zstd)?)$/;

/**
 * Reads an OCI or Docker (schema 2) manifest or index. `what` names it in errors.
 * @throws CriError INVALID_ARGUMENT for a malformed one, FAILED_PRECONDITION for what is no container image,
 *   UNIMPLEMENTED for encrypted layers.
 */
export function parseManifest(bytes: Buffer, what: string): Manifest {
  const { mediaType = '', manifests, config, layers } = parseDocument(bytes, what);
  // A document that can be parsed both ways has two meanings under one digest (CVE-2021-41190).
  if (manifests && (config ?? layers)) throw malformed(what, 'is an index and a manifest at once');
  if (manifests) return { kind: 'index', manifests };
  if (!config && INDEX_TYPES.includes(mediaType)) return { kind: 'index', manifests: [] };
  if (!config) throw malformed(what, 'has neither manifests nor config and layers');
  if (!CONFIG_TYPES.includes(config.mediaType)) {
    throw failedPrecondition(
      `${what}: is not a container image; its config has the type ${JSON.stringify(config.mediaType.slice(0, 100))}`,
    );
  }
  for (const layer of layers ?? []) checkLayerType(layer.mediaType, what);
  if (config.size > MAX_DOCUMENT) throw malformed(what, `its config is larger than ${MAX_DOCUMENT} bytes`);
  return { kind: 'image', config, layers: layers ?? [] };
}

function parseDocument(bytes: Buffer, what: string): z.output<typeof document> {
  let json: unknown;
  try {
    json = JSON.parse(bytes.toString('utf8'));
  } catch {
    throw malformed(what, 'is not a JSON document');
  }
  if (typeof json === 'object' && json !== null && 'schemaVersion' in json && json.schemaVersion === 1) {
    throw failedPrecondition(`${what}: uses the obsolete Docker schema 1; push the image again with a current tool`);
  }
  if (hasMoreValuesThan(json, MAX_VALUES)) throw malformed(what, `has more than ${MAX_VALUES} values`);
  const parsed = document.safeParse(json);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw malformed(what, `${formatPlace(issue?.path ?? []) || 'document'}: ${issue?.message ?? 'malformed'}`);
}

function checkLayerType(mediaType: string, what: string): void {
  if (mediaType.includes('+encrypted')) throw unimplemented(`${what}: pulling encrypted layers`);
  if (/nondistributable|foreign/.test(mediaType)) {
    throw failedPrecondition(`${what}: has non-distributable layers (${mediaType.slice(0, 100)})`);
  }
  if (!LAYER_TYPE.test(mediaType)) {
    throw failedPrecondition(`${what}: has a layer of the unknown type ${JSON.stringify(mediaType.slice(0, 100))}`);
  }
}

function malformed(what: string, problem: string): CriError {
  return new CriError(StatusCode.INVALID_ARGUMENT, `${what}: ${problem}`);
}
