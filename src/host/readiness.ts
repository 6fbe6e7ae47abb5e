import { which } from './processes/programs.ts';

/** Why pods cannot run: a word for programs, a sentence for people with the remedy. */
export interface Problem {
  reason: string;
  message: string;
}

/** A program without which pods do not run. */
export interface NeededProgram {
  name: string;
  purpose: string;
  remedy: string;
}

/** Whether this host can run pods: the programs are looked for each time, what was tried at start is remembered. */
export class HostReadiness {
  readonly #programs: readonly NeededProgram[];
  #found: Problem | undefined;

  constructor(programs: readonly NeededProgram[]) {
    this.#programs = programs;
  }

  /** Remembers what keeps pods from running until the next start. */
  report(problem: Problem): void {
    this.#found ??= problem;
  }

  /** The first reason why pods cannot run; undefined when they can. Never fails. */
  async problem(): Promise<Problem | undefined> {
    const paths = await Promise.all(this.#programs.map(({ name }) => which(name)));
    const lacking = this.#programs.filter((_, index) => paths[index] === undefined);
    if (lacking.length === 0) return this.#found;
    const message = lacking.map(({ name, purpose, remedy }) => `${name}, which ${purpose}, not found; ${remedy}`);
    return { reason: 'MissingProgram', message: message.join('; ') };
  }
}
