import { realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { CriError, StatusCode } from '../../../core/model/errors.ts';
import { isErrno } from '../../../utils/errors.ts';
import { namesIn } from '../../../utils/fs/names.ts';
import { BfcError } from '../errors.ts';

/** A BFC file; one with the same key has the same content. */
export interface ListedFile {
  path: string;
  key: string;
  /** Milliseconds since 1970. */
  mtimeMs: number;
}

/** The directory whose BFC files provide images. */
export class BfcDirectory {
  /** "": there is none. */
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  /** Its files `*.bfc` by name, without hidden ones, which copying programs write before they rename them. */
  async list(): Promise<ListedFile[]> {
    if (this.path === '') return [];
    const names = (await namesIn(this.path)).filter((name) => name.endsWith('.bfc') && !name.startsWith('.'));
    const files = await Promise.all(names.sort().map((name) => describe(join(this.path, name))));
    return files.filter((file) => file !== undefined);
  }

  /**
   * The file itself of a path in a request, which may name files below the directory only: pods choose their images.
   * @throws CriError PERMISSION_DENIED for another path, NOT_FOUND.
   */
  async require(path: string): Promise<ListedFile> {
    // Before it is looked for: nobody finds out so what is on the node.
    if (!isBelow(this.path, path)) throw this.#denied(path);
    let [directory, real]: (string | undefined)[] = [];
    try {
      [directory, real] = [await realpath(this.path), await realpath(path)];
    } catch (error) {
      if (!isErrno(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) throw error;
    }
    if (directory !== undefined && real !== undefined && !isBelow(directory, real)) throw this.#denied(path);
    const file = real === undefined ? undefined : await describe(real);
    if (file) return file;
    throw new CriError(StatusCode.NOT_FOUND, `image.image: there is no file ${JSON.stringify(path)}`);
  }

  #denied(path: string): CriError {
    const which =
      this.path === ''
        ? 'set bfc.directory to the directory with them'
        : `only those below bfc.directory, ${this.path}, are`;
    return new CriError(
      StatusCode.PERMISSION_DENIED,
      `image.image: ${JSON.stringify(path.slice(0, 300))} is no BFC file that images may be pulled from; ${which}`,
    );
  }
}

/** Whether files are still being copied, as far as one can see. */
export class Growth {
  readonly #settleMs: number;
  readonly #seen = new Map<string, { key: string; at: number }>();

  /** @param settleMs milliseconds without a change after which a file is as it stays. */
  constructor(settleMs: number) {
    this.#settleMs = settleMs;
  }

  /** Whether the file has changed lately. */
  isGrowing({ path, key, mtimeMs }: ListedFile): boolean {
    const now = performance.now();
    const seen = this.#seen.get(path);
    if (seen?.key === key) return now - seen.at < this.#settleMs;
    // Of a file that is seen for the first time only its time says when it has changed.
    const age = seen === undefined ? Math.max(Date.now() - mtimeMs, 0) : 0;
    this.#seen.set(path, { key, at: now - age });
    return age < this.#settleMs;
  }
}

/** Whether an error is what a file gives that is not yet copied to its end. */
export function isIncomplete(error: unknown, { key }: ListedFile): boolean {
  if (!(error instanceof BfcError)) return false;
  return error.problem === 'truncated' || (error.problem === 'not-bfc' && key.startsWith('0 '));
}

async function describe(path: string): Promise<ListedFile | undefined> {
  try {
    const { size, mtimeMs, ino } = await stat(path);
    return { path, key: [size, mtimeMs, ino].join(' '), mtimeMs };
  } catch (error) {
    // It was removed after the directory was read, or is a broken link.
    if (isErrno(error, 'ENOENT', 'ELOOP')) return undefined;
    throw error;
  }
}

function isBelow(directory: string, path: string): boolean {
  return directory !== '' && path.startsWith(directory.endsWith('/') ? directory : `${directory}/`);
}
