import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { DocumentStore } from '../../../core/model/image-files.ts';
import { isErrno } from '../../../utils/errors.ts';
import { writeFileAtomic } from '../../../utils/fs/atomic.ts';

const ALGORITHM = 'sha256';

/** Documents in the files `<directory>/sha256/<hex>`. */
export class DocumentFiles implements DocumentStore {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = join(directory, ALGORITHM);
  }

  async put(digest: string, document: Buffer): Promise<void> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    await writeFileAtomic(this.#path(digest), document);
  }

  async list(): Promise<string[]> {
    try {
      return (await readdir(this.#directory)).map((name) => `${ALGORITHM}:${name}`);
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return [];
      throw error;
    }
  }

  async remove(digest: string): Promise<void> {
    await rm(this.#path(digest), { force: true });
  }

  #path(digest: string): string {
    return join(this.#directory, digest.slice(ALGORITHM.length + 1));
  }
}
