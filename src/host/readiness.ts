import { which } from './processes/programs.ts';

/** The reason why pods cannot run: a CamelCase word, and a message with the remedy. */
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

/** Whether this host can run pods: programs are searched each time, results of checks at start are kept. */
export class HostReadiness {
  readonly #programs: readonly NeededProgram[];
  #found: Problem | undefined;

  constructor(programs: readonly NeededProgram[]) {
    this.#programs = programs;
  }

  /** Records a problem that prevents pods from running until the next start. */
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
