import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { DocumentStore } from '../../../core/model/image-files.ts';
import { isErrno } from '../../../utils/errors.ts';
import { writeFileAtomic } from '../../../utils/fs/atomic.ts';
import { namesIn } from '../../../utils/fs/names.ts';

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

  async get(digest: string): Promise<Buffer | undefined> {
    try {
      return await readFile(this.#path(digest));
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return undefined;
      throw error;
    }
  }

  async list(): Promise<string[]> {
    return (await namesIn(this.#directory)).map((name) => `${ALGORITHM}:${name}`);
  }

  async remove(digest: string): Promise<void> {
    await rm(this.#path(digest), { force: true });
  }

  #path(digest: string): string {
    return join(this.#directory, digest.slice(ALGORITHM.length + 1));
  }
}
