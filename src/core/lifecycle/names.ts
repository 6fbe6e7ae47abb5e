import { CriError, StatusCode } from '../model/errors.ts';

/**
 * The names of pods or containers. CRI identifies both by metadata tuples; a repeated request must find the existing object
 * instead of creating another one.
 */
export class NameRegistry {
  readonly #kind: string;
  readonly #owners = new Map<string, string>();

  constructor(kind: string) {
    this.#kind = kind;
  }

  owner(name: string): string | undefined {
    return this.#owners.get(name);
  }

  /** @throws CriError ALREADY_EXISTS when another id has the name. */
  reserve(name: string, id: string): void {
    const owner = this.#owners.get(name);
    if (owner !== undefined && owner !== id) {
      const message = `the name ${JSON.stringify(name)} belongs to ${this.#kind} ${owner}; remove it first`;
      throw new CriError(StatusCode.ALREADY_EXISTS, message);
    }
    this.#owners.set(name, id);
  }

  /** Reserves the name of a record. When two records have the same name, the first one keeps it, and both stay visible. */
  restore(name: string, id: string): void {
    if (!this.#owners.has(name)) this.#owners.set(name, id);
  }

  /** Releases the names of an id. */
  release(id: string): void {
    for (const [name, owner] of this.#owners) if (owner === id) this.#owners.delete(name);
  }
}
