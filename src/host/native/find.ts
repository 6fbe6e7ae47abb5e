import { createHash } from 'node:crypto';
import { accessSync, constants, readFileSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { unavailable } from '../../core/model/errors.ts';

/** Names the program's file, with the highest priority. */
const VARIABLE = 'PROXMOX_LXCRI_NATIVE';
const NAME = 'lxcri-native';
const PACKAGED = `/usr/lib/proxmox-lxcri/${NAME}`;

let found: string | undefined;

/**
 * The path of the native helper (src/native): what the environment variable PROXMOX_LXCRI_NATIVE names, else what
 * `src/native/build` has built from the sources of this checkout, or what is beside this bundle, else the packaged one.
 * @throws CriError UNAVAILABLE with the remedy when there is none.
 */
export function findNative(): string {
  found ??= look(process.env);
  return found;
}

/** See {@link findNative}; searches again each time. */
export function look(env: NodeJS.ProcessEnv): string {
  const named = env[VARIABLE];
  if (named) {
    if (isExecutable(named)) return named;
    throw unavailable(`${VARIABLE}: program ${JSON.stringify(named)} not found; build it with src/native/build`);
  }
  const path = [here(fileURLToPath(import.meta.url)), PACKAGED].find(
    (candidate) => candidate !== undefined && isExecutable(candidate),
  );
  if (path !== undefined) return path;
  throw unavailable(
    `native helper ${NAME} not found; run src/native/build in the checkout (requires gcc and libc6-dev), ` +
      `or install the package's ${PACKAGED}`,
  );
}

/**
 * Where `src/native/build` puts the program, or deploy/bundle. No other directory is searched: it might be anybody's.
 * undefined where there are no sources.
 */
function here(file: string): string | undefined {
  if (!file.endsWith('.ts')) return join(dirname(file), NAME);
  const root = dirname(dirname(dirname(dirname(file))));
  const sources = join(root, 'src/native');
  try {
    const names = readdirSync(sources);
    const hash = createHash('sha256');
    for (const suffix of ['.c', '.h']) {
      for (const name of names.filter((file) => file.endsWith(suffix)).sort())
        hash.update(readFileSync(join(sources, name)));
    }
    return join(root, '.cache/native', hash.digest('hex').slice(0, 16), NAME);
  } catch {
    return undefined;
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
