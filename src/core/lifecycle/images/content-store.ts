import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isErrno } from '../../../utils/errors.ts';
import { writeFileAtomic } from '../../../utils/fs/atomic.ts';
import { Holds } from './holds.ts';

/** Small documents by digest (manifests, configurations): the files `<directory>/sha256/<hex>`. */
export class ContentStore {
  readonly #directory: string;
  readonly #holds = new Holds();

  constructor(directory: string) {
    this.#directory = join(directory, 'sha256');
  }

  /** Keeps these digests from {@link collect} until the returned function is called. */
  hold(digests: readonly string[]): () => void {
    return this.#holds.add(digests);
  }

  /** Stores a document durably; its digest has been verified by the caller. */
  async put(digest: string, document: Buffer): Promise<void> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    await writeFileAtomic(this.#path(digest), document);
  }

  /** Removes what is neither held nor among `needed`, which is asked anew for each document. */
  async collect(needed: () => readonly string[]): Promise<void> {
    for (const name of await this.#list()) {
      const digest = `sha256:${name}`;
      if (!this.#holds.has(digest) && !needed().includes(digest))
        await rm(join(this.#directory, name), { force: true });
    }
  }

  async #list(): Promise<string[]> {
    try {
      return await readdir(this.#directory);
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return [];
      throw error;
    }
  }

  #path(digest: string): string {
    return join(this.#directory, digest.replace(/^sha256:/, ''));
  }
}
