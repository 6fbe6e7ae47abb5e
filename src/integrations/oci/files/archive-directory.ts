import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { ArchiveDirectory, ArchiveFile } from '../../../core/model/image-files.ts';
import { isErrno } from '../../../utils/errors.ts';
import { writeFileAtomic } from '../../../utils/fs/atomic.ts';
import { namesIn } from '../../../utils/fs/names.ts';

const ARCHIVE = /\.(?:tar(?:\.(?:gz|xz|zst))?|tgz)$/;

/** Archives in a directory of this node, recognized by their file extensions. */
export class FileArchiveDirectory implements ArchiveDirectory {
  readonly #directory: string;
  readonly #memory: string;

  /** @param memory file for the stored value. */
  constructor(directory: string, memory: string) {
    this.#directory = directory;
    this.#memory = memory;
  }

  async list(): Promise<ArchiveFile[]> {
    const files: ArchiveFile[] = [];
    for (const name of (await this.#names()).sort()) {
      const path = join(this.#directory, name);
      try {
        const { size, mtimeMs } = await stat(path);
        files.push({ name, path, size, mtimeMs });
      } catch (error) {
        // It was removed after the directory was read.
        if (!isErrno(error, 'ENOENT')) throw error;
      }
    }
    return files;
  }

  async recall(): Promise<unknown> {
    try {
      return JSON.parse(await readFile(this.#memory, 'utf8'));
    } catch {
      return undefined;
    }
  }

  async remember(value: object): Promise<void> {
    await writeFileAtomic(this.#memory, JSON.stringify(value));
  }

  async #names(): Promise<string[]> {
    return (await namesIn(this.#directory)).filter((name) => ARCHIVE.test(name));
  }
}
