/**
 * Collects the undoing of finished steps. `rollback` runs them in reverse order, each whatever the others do, and hands
 * failures to `onError`; `commit` forgets them.
 */
export class Undo {
  #steps: { what: string; action: () => Promise<unknown> }[] = [];

  /** Registers how to undo a step that has just succeeded (or may have begun). */
  add(what: string, action: () => Promise<unknown>): void {
    this.#steps.push({ what, action });
  }

  commit(): void {
    this.#steps = [];
  }

  async rollback(onError: (what: string, error: unknown) => void): Promise<void> {
    const steps = this.#steps.reverse();
    this.#steps = [];
    for (const { what, action } of steps) {
      try {
        await action();
      } catch (error) {
        onError(what, error);
      }
    }
  }
}
