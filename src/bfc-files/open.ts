import type { AskSecret } from '../cli/bfc/files.ts';
import type { FileSecret } from '../core/model/file-secret.ts';
import type { SourceImage } from '../core/model/image.ts';
import { chooseImages } from '../core/lifecycle/images/choose-images.ts';
import { BfcError } from '../integrations/bfc/errors.ts';
import { ContainerLayout } from '../integrations/bfc/images/container-layout.ts';
import { type BfcReader, openBfc } from '../integrations/bfc/reader.ts';
import { readEitherLayout } from '../integrations/oci/archive/layout.ts';
import { parsePlatform } from '../integrations/oci/platform.ts';

/** Of names without a registry: the configuration is the server's. */
const DEFAULT_REGISTRY = 'docker.io';
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
 * The images of a BFC file for this machine, or those of a name or digest, with all their layers. Each is to be closed; the reader is
 * closed with the last of them, and when this throws.
 * @throws CriError NOT_FOUND for an unknown name, DATA_LOSS when a layer is missing; as ContainerLayout.images.
 */
export async function imagesIn(reader: BfcReader, wanted: string | undefined): Promise<SourceImage[]> {
  await using layout = new ContainerLayout(reader);
  const all = await layout.images((files) => readEitherLayout(files, parsePlatform()));
  let chosen: SourceImage[] = [];
  try {
    chosen = chooseImages(all, wanted, { file: reader.name, defaultRegistry: DEFAULT_REGISTRY });
    for (const { layers, names } of chosen) {
      const [absent] = layout.missing(layers);
      if (!absent) continue;
      const what = `has no layer ${absent.digest} of ${names[0] ?? 'its image'}; pack the image again`;
      throw new BfcError('damaged', { file: reader.name }, what);
    }
  } catch (error) {
    chosen = [];
    throw error;
  } finally {
    for (const image of all) if (!chosen.includes(image)) await image.close();
  }
  return chosen;
}
