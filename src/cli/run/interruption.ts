import { constants } from 'node:os';
import type { CliContext, CliSignal } from '../command.ts';

/** Thrown where a run is given up because a signal came before its container ran. */
export class Interrupted extends Error {
  /** 128 plus the signal's number, as shells say it. */
  readonly exitCode: number;

  constructor(signal: CliSignal) {
    super(`interrupted by ${signal}`);
    this.name = 'Interrupted';
    this.exitCode = 128 + constants.signals[signal];
  }
}

/** Counts the signals that ask a run to end: the first asks the container to stop, the second kills it. */
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

  /** Aborted by a signal that comes before `handTo`. */
  get signal(): AbortSignal {
    return this.#setup.signal;
  }

  /** Aborted by the second signal before `handTo`: for calls that are better finished, so that what they made is known. */
  get impatient(): AbortSignal {
    return this.#impatient.signal;
  }

  /** From now on there is a container, which signals stop. @throws Interrupted when one came just before. */
  handTo(stop: (graceSeconds: number) => void): void {
    this.#setup.signal.throwIfAborted();
    this.#stop = stop;
  }

  /** Asks the container to end; the next time it is given no more time. */
  stop(): void {
    const grace = this.#graceSeconds;
    this.#graceSeconds = 0;
    this.#stop?.(grace);
  }

  [Symbol.dispose](): void {
    this.#unsubscribe();
  }
}
