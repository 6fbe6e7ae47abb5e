import { constants } from 'node:os';
import type { CliContext, CliSignal } from '../command.ts';

/** Thrown when a signal arrived before the container of a run was started. */
export class Interrupted extends Error {
  /** 128 plus the signal's number, as in shells. */
  readonly exitCode: number;

  constructor(signal: CliSignal) {
    super(`interrupted by ${signal}`);
    this.name = 'Interrupted';
    this.exitCode = 128 + constants.signals[signal];
  }
}

/** Counts the signals that end a run: the first stops the container, the second kills it. */
export class Interruption implements Disposable {
  readonly #unsubscribe: () => void;
  readonly #setup = new AbortController();
  readonly #impatient = new AbortController();
  #stop: ((graceSeconds: number) => void) | undefined;
  #graceSeconds: number;

  constructor(context: CliContext, graceSeconds: number) {
    this.#graceSeconds = graceSeconds;
    this.#unsubscribe = context.onSignal((signal) => {
      if (this.#stop !== undefined) this.stop();
      else if (!this.#setup.signal.aborted) this.#setup.abort(new Interrupted(signal));
      else this.#impatient.abort(new Interrupted(signal));
    });
  }

  /** Aborted by a signal that arrives before `handTo`. */
  get signal(): AbortSignal {
    return this.#setup.signal;
  }

  /** Aborted by the second signal before `handTo`: for RPCs that should complete, so that the objects they create are known. */
  get impatient(): AbortSignal {
    return this.#impatient.signal;
  }

  /** From now on signals stop the container. @throws Interrupted when one arrived before. */
  handTo(stop: (graceSeconds: number) => void): void {
    this.#setup.signal.throwIfAborted();
    this.#stop = stop;
  }

  /** Stops the container; the second time without a grace period. */
  stop(): void {
    const grace = this.#graceSeconds;
    this.#graceSeconds = 0;
    this.#stop?.(grace);
  }

  [Symbol.dispose](): void {
    this.#unsubscribe();
  }
}
