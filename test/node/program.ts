import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { open, readFile } from 'node:fs/promises';

/** A program of the node, with its output in a log file. It ends with this process, however that ends. */
export class Program {
  readonly name: string;
  readonly log: string;
  readonly #command: readonly string[];
  #child: ChildProcess | undefined;

  /** @param command the program and its arguments, as execve(2) takes them. */
  constructor(name: string, log: string, command: readonly string[]) {
    this.name = name;
    this.log = log;
    this.#command = command;
  }

  /** Id of its process; undefined while none runs. */
  get pid(): number | undefined {
    return this.#isRunning ? this.#child?.pid : undefined;
  }

  get #isRunning(): boolean {
    return this.#child?.exitCode === null && this.#child.signalCode === null;
  }

  async start(): Promise<void> {
    await using log = await open(this.log, 'a');
    // A process group of its own: an interrupt of the terminal ends the programs in order, through stop().
    this.#child = spawn('setpriv', ['--pdeathsig', 'KILL', ...this.#command], {
      stdio: ['ignore', log.fd, log.fd],
      detached: true,
    });
    await once(this.#child, 'spawn');
  }

  /** Ends the program and waits until it has ended. */
  async stop(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<void> {
    const child = this.#child;
    if (!child || !this.#isRunning) return;
    const ended = once(child, 'exit');
    child.kill(signal);
    await ended;
  }

  /** @throws Error with the end of its log when it has ended by itself. */
  async check(): Promise<void> {
    if (this.#isRunning) return;
    const lines = (await readFile(this.log, 'utf8')).trim().split('\n');
    throw new Error(`${this.name} has ended:\n${lines.slice(-20).join('\n')}`);
  }
}
