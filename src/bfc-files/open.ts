import type { AskSecret } from '../cli/bfc/files.ts';
import type { CriError } from '../core/model/errors.ts';
import type { FileSecret } from '../core/model/file-secret.ts';
import type { SourceImage } from '../core/model/image.ts';
import { fullName } from '../core/lifecycle/images/reference.ts';
import { BfcError } from '../integrations/bfc/errors.ts';
import { ContainerLayout } from '../integrations/bfc/images/container-layout.ts';
import { type BfcReader, openBfc } from '../integrations/bfc/reader.ts';
import { readEitherLayout } from '../integrations/oci/archive/layout.ts';
import { parsePlatform } from '../integrations/oci/platform.ts';

/** Names that an error lists. */
const MAX_LISTED = 20;
/** How a file is encrypted. */
export function encryptionIn(reader: BfcReader): FileSecret['kind'] | 'none' {
  for (const { encrypted } of reader.index) {
    if (encrypted) return reader.header.salt.some((byte) => byte !== 0) ? 'password' : 'key';
  }
  return 'none';
}

/**
 * Opens a BFC file; an encrypted one with what `ask` gives.
 * @param options.without it may stay closed to its key when that gives nothing.
 * @param options.prefix of the options that an error names.
 * @throws BfcError `key` for a wrong one, and for none unless `without`.
 */
export async function openFile(
  file: string,
  ask: AskSecret,
  { without = false, prefix = '' } = {},
): Promise<BfcReader> {
  const plain = await openBfc(file);
  const kind = encryptionIn(plain);
  if (kind === 'none') return plain;
  const secret = await ask(file, kind).catch(async (error: unknown) => {
    await plain.close();
    throw error;
  });
  if (secret === undefined && without) return plain;
  await plain.close();
  if (secret?.kind !== kind) {
    const [what, other, options] =
      kind === 'key'
        ? ['a key file', 'password', `--${prefix}key-file`]
        : ['a password', 'key file', `--${prefix}password-file or --${prefix}password-fd, or type it on a terminal`];
    const instead = secret === undefined ? '' : `, not with a ${other}`;
    throw new BfcError('key', { file }, `is encrypted with ${what}${instead}; use ${options}`);
  }
  const reader = await openBfc(file, { secret });
  try {
    await reader.checkKey();
    return reader;
  } catch (error) {
    await reader.close();
    if (!(error instanceof BfcError) || error.problem !== 'key') throw error;
    const given = kind === 'key' ? 'key' : 'password';
    throw new BfcError('key', { file }, `the ${given} is wrong, or the file was changed`, { cause: error });
  }
}

/**
 * The images of a BFC file for this machine, or the one of a name or digest, with all their layers. Each is to be closed; the reader is
 * closed with the last of them, and when this throws.
 * @throws CriError NOT_FOUND for an unknown name, DATA_LOSS when a layer is missing; as ContainerLayout.images.
 */
export async function imagesIn(reader: BfcReader, wanted: string | undefined): Promise<SourceImage[]> {
  await using layout = new ContainerLayout(reader);
  const all = await layout.images((files) => readEitherLayout(files, parsePlatform()));
  const chosen = wanted === undefined ? all : all.filter((image) => isNamed(image, wanted));
  for (const image of all) if (!chosen.includes(image)) await image.close();
  try {
    if (chosen.length === 0) throw unknownImage(reader.name, wanted, all);
    for (const { layers, names } of chosen) {
      const [absent] = layout.missing(layers);
      if (!absent) continue;
      const what = `has no layer ${absent.digest} of ${names[0] ?? 'its image'}; pack the image again`;
      throw new BfcError('damaged', { file: reader.name }, what);
    }
    return chosen;
  } catch (error) {
    for (const image of chosen) await image.close();
    throw error;
  }
}

/** Of names without a registry: which one the configuration names is the server's. */
const DEFAULT_REGISTRY = 'docker.io';

function isNamed({ names, digest, configDigest }: SourceImage, wanted: string): boolean {
  if ([digest, configDigest].includes(wanted) || names.includes(wanted)) return true;
  const full = fullName(wanted, DEFAULT_REGISTRY);
  return full !== undefined && names.some((name) => fullName(name, DEFAULT_REGISTRY) === full);
}

function unknownImage(file: string, wanted: string | undefined, images: readonly SourceImage[]): CriError {
  const names = images.flatMap((image) => image.names);
  const listed = names.length === 0 ? 'none has a name' : names.slice(0, MAX_LISTED).join(', ');
  const more = names.length > MAX_LISTED ? ` and ${names.length - MAX_LISTED} more` : '';
  const what =
    wanted === undefined ? 'has no images' : `has no image ${JSON.stringify(wanted)}; it has: ${listed}${more}`;
  return new BfcError('not-found', { file }, what);
}
