import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { ArchiveDirectory, ArchiveFile, KeptValue } from '../../../core/model/image-files.ts';
import { isErrno } from '../../../utils/errors.ts';
import { namesIn } from '../../../utils/fs/names.ts';

const ARCHIVE = /\.(?:tar(?:\.(?:gz|xz|zst))?|tgz)$/;

/** Archives in a directory of this node, recognized by their file extensions. */
export class FileArchiveDirectory implements ArchiveDirectory {
  readonly imported: KeptValue;
  readonly #directory: string;

  constructor(directory: string, imported: KeptValue) {
    this.#directory = directory;
    this.imported = imported;
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

  async #names(): Promise<string[]> {
    return (await namesIn(this.#directory)).filter((name) => ARCHIVE.test(name));
  }
}
