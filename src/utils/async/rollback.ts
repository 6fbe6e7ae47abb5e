/**
 * Collects the rollback of finished steps. `run` runs them in reverse order, each even when others fail, and reports
 * failures to `onError`; `commit` drops them.
 */
export class Rollback {
  #steps: { what: string; action: () => Promise<unknown> }[] = [];

  /** Registers the rollback of a step that has succeeded (or may have started). */
  add(what: string, action: () => Promise<unknown>): void {
    this.#steps.push({ what, action });
  }

  commit(): void {
    this.#steps = [];
  }

  async run(onError: (what: string, error: unknown) => void): Promise<void> {
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
