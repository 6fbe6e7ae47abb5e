import { writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import type { Command } from '../fixtures/faults/control.ts';
import type { Fault } from '../fixtures/faults/fault-points.ts';
import { programFile } from '../lib/program.ts';

/** The program of a server fixture with fault points (test/fixtures/faults). */
export const FAULTY_PROGRAM = programFile('faults');

/** Sends commands to the fault points of a running server. */
export class Faults {
  readonly #path: string;
  readonly #first: string;

  /** @param directory of the server's fixture. */
  constructor(directory: string) {
    this.#path = `${directory}/faults.sock`;
    this.#first = `${directory}/fault.json`;
  }

  /** Arms a fault for the next start of the server. */
  async armStart(fault: Fault): Promise<void> {
    await writeFile(this.#first, JSON.stringify(fault));
  }

  /**
   * Arms a fault, or none; held steps continue, unless they are kept. Returns the points passed since, and how often the
   * earlier fault struck.
   */
  async arm(fault?: Fault, keepsHeld = false): Promise<{ passed: string[]; hits: number }> {
    const answer = await this.#send({ arm: fault ?? null, keepsHeld });
    return JSON.parse(answer) as { passed: string[]; hits: number };
  }

  /** Resolves when the armed fault strikes, or the server dies. */
  async reached(): Promise<void> {
    await this.#send({ wait: true }).catch(() => '');
  }

  /** Sets the wall clock that the server sees to the machine's and `ms`; the next server has the machine's again. */
  async setClock(ms: number): Promise<void> {
    await this.#send({ clock: ms });
  }

  async #send(command: Command): Promise<string> {
    const socket = connect({ path: this.#path, allowHalfOpen: true });
    socket.end(JSON.stringify(command));
    return text(socket);
  }
}
