import { realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { CriError, StatusCode, unavailable } from '../../../core/model/errors.ts';
import { isErrno, messageOf } from '../../../utils/errors.ts';
import { namesIn } from '../../../utils/fs/names.ts';
import { accessPath } from '../files/patient-file.ts';

/** A BFC file; one with the same key has the same content. */
export interface ListedFile {
  path: string;
  key: string;
  /** Milliseconds since 1970. */
  mtimeMs: number;
}

/** A directory with BFC files. */
export class BfcDirectory {
  /** "": there is none. */
  readonly path: string;
  /** For people. */
  readonly #name: string;
  readonly #limitMs: number | undefined;

  /** @param limitMs milliseconds of one access, by default those of {@link accessPath}. */
  constructor(path: string, { name = 'bfc.directory', limitMs }: { name?: string; limitMs?: number | undefined } = {}) {
    this.path = path;
    this.#name = name;
    this.#limitMs = limitMs;
  }

  /**
   * Its files `*.bfc` by name, without hidden ones, which copying programs write before they rename them.
   * @throws CriError UNAVAILABLE for a filesystem that stalls.
   */
  async list(): Promise<ListedFile[]> {
    if (this.path === '') return [];
    const read = async () => {
      const files: ListedFile[] = [];
      for (const name of (await namesIn(this.path)).sort()) {
        if (!name.endsWith('.bfc') || name.startsWith('.')) continue;
        // One after the other: each takes a thread while the filesystem stalls.
        const file = await describe(join(this.path, name));
        if (file) files.push(file);
      }
      return files;
    };
    return accessPath(this.path, read, this.#limitMs);
  }

  /**
   * The file itself of a path in a request, which may name files below the directory only: pods choose their images.
   * @throws CriError PERMISSION_DENIED for another path, NOT_FOUND, UNAVAILABLE for a filesystem that does not answer.
   */
  async require(path: string): Promise<ListedFile> {
    // Before it is looked for: nobody finds out so what is on the node.
    if (!isBelow(this.path, path)) throw this.#denied(path);
    const file = await accessPath(path, () => this.#find(path), this.#limitMs);
    if (file) return file;
    throw new CriError(StatusCode.NOT_FOUND, `image.image: there is no file ${JSON.stringify(path)}`);
  }

  async #find(path: string): Promise<ListedFile | undefined> {
    let directory: string;
    let real: string;
    try {
      [directory, real] = [await realpath(this.path), await realpath(path)];
    } catch (error) {
      if (isErrno(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) return undefined;
      throw unavailable(`${this.#name}, ${this.path}, cannot be read: ${messageOf(error)}`, error);
    }
    if (!isBelow(directory, real)) throw this.#denied(path);
    return describe(real);
  }

  #denied(path: string): CriError {
    const which =
      this.path === ''
        ? 'set bfc.directory to the directory with them'
        : `only those below ${this.#name}, ${this.path}, are`;
    return new CriError(
      StatusCode.PERMISSION_DENIED,
      `image.image: ${JSON.stringify(path.slice(0, 300))} is no BFC file that images may be pulled from; ${which}`,
    );
  }
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
