import type { DocumentStore } from '../../model/image-files.ts';
import { Holds } from './holds.ts';

/** The documents of images, and their leases. */
export class ContentStore {
  readonly #documents: DocumentStore;
  readonly #holds = new Holds();

  constructor(documents: DocumentStore) {
    this.#documents = documents;
  }

  /** Keeps these digests from {@link collect} until the returned function is called. */
  hold(digests: readonly string[]): () => void {
    return this.#holds.add(digests);
  }

  /** Stores a document durably; its digest has been verified by the caller. */
  async put(digest: string, document: Buffer): Promise<void> {
    await this.#documents.put(digest, document);
  }

  /** undefined when it does not exist. */
  async get(digest: string): Promise<Buffer | undefined> {
    return this.#documents.get(digest);
  }

  /** Removes documents without a lease that are not in `needed`, which is evaluated for each document. */
  async collect(needed: () => readonly string[]): Promise<void> {
    for (const digest of await this.#documents.list()) {
      if (!this.#holds.has(digest) && !needed().includes(digest)) await this.#documents.remove(digest);
    }
  }
}
