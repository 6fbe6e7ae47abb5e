/** Counted leases on keys: objects in use are not collected. */
export class Holds {
  readonly #counts = new Map<string, number>();

  /** Leases the keys; the returned function releases them once, however often it is called. */
  add(keys: readonly string[]): () => void {
    for (const key of keys) this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      for (const key of keys) {
        const left = (this.#counts.get(key) ?? 1) - 1;
        if (left > 0) this.#counts.set(key, left);
        else this.#counts.delete(key);
      }
    };
  }

  has(key: string): boolean {
    return this.#counts.has(key);
  }
}
