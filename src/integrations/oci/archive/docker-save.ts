import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import * as z from 'zod';
import { CriError, StatusCode } from '../../../core/model/errors.ts';
import type { LayerDescriptor, SourceImage } from '../../../core/model/image.ts';
import { formatPlace } from '../../../utils/errors.ts';
import { digestOf, digestOfStream } from '../digest.ts';
import { DocumentCount, parseJson, readDocument } from './documents.ts';
import { openBlob } from './layout.ts';

const manifestSchema = z
  .array(
    z.object({
      Config: z.string(),
      RepoTags: z.array(z.string()).nullish(),
      Layers: z
        .array(z.string())
        .max(1000)
        .nullish()
        .transform((value) => value ?? []),
    }),
  )
  .min(1)
  .max(10_000);

/** Finds the file of an archive's member; undefined when there is none. */
export type MemberPath = (name: string) => string | undefined;

/**
 * The images of a docker-archive (manifest.json beside layer tars); undefined for another archive. An OCI manifest is
 * made for each, since every image here has one.
 * @throws CriError INVALID_ARGUMENT for a broken one.
 */
export async function readDockerSave(
  member: MemberPath,
  signal: AbortSignal | undefined,
  close: () => Promise<void>,
): Promise<SourceImage[] | undefined> {
  const path = member('manifest.json');
  const document = path === undefined ? undefined : await readDocument(path, 'manifest.json');
  if (!document) return undefined;
  const parsed = manifestSchema.safeParse(parseJson(document, 'manifest.json'));
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw broken(`manifest.json: ${formatPlace(issue?.path ?? [])}: ${issue?.message ?? 'malformed'}`);
  }
  const hashed = new Map<string, LayerDescriptor>();
  const images: SourceImage[] = [];
  const documents = new DocumentCount();
  for (const { Config, RepoTags, Layers } of parsed.data) {
    const config = await readDocument(required(member, Config), Config);
    if (!config) throw broken(`${Config}: is missing in the archive`);
    const paths = new Map<string, string>();
    const layers: LayerDescriptor[] = [];
    for (const name of Layers) {
      const file = required(member, name);
      const layer = hashed.get(file) ?? (await describe(file, signal));
      hashed.set(file, layer);
      layers.push(layer);
      paths.set(layer.digest, file);
    }
    const configDigest = digestOf(config);
    const manifest = makeManifest(configDigest, config.length, layers);
    documents.add({ manifest, config });
    const digest = digestOf(manifest);
    const openLayer: SourceImage['openLayer'] = (layer, abort, range) =>
      Promise.resolve(openBlob(paths.get(layer.digest) ?? '', layer, abort, range));
    const names = RepoTags ?? [];
    images.push({ digest, manifestDigest: digest, manifest, configDigest, config, layers, names, openLayer, close });
  }
  return images;
}

/** A layer's digest; its content is verified against the configuration's diff id when it is applied. */
async function describe(path: string, signal: AbortSignal | undefined): Promise<LayerDescriptor> {
  const digest = await digestOfStream(createReadStream(path, { highWaterMark: 262_144 }), signal);
  const { size } = await stat(path);
  return { digest, size, mediaType: 'application/vnd.oci.image.layer.v1.tar' };
}

/** A manifest for an image whose source has none. */
export function makeManifest(configDigest: string, configSize: number, layers: readonly LayerDescriptor[]): Buffer {
  const config = { mediaType: 'application/vnd.oci.image.config.v1+json', digest: configDigest, size: configSize };
  const mediaType = 'application/vnd.oci.image.manifest.v1+json';
  return Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, config, layers }));
}

function required(member: MemberPath, name: string): string {
  const path = member(name);
  if (path === undefined) throw broken(`${JSON.stringify(name.slice(0, 300))}: is missing in the archive`);
  return path;
}

function broken(problem: string): CriError {
  return new CriError(StatusCode.INVALID_ARGUMENT, problem);
}
