import { spawnSync } from 'node:child_process';
import type { InputStream, OutputStream } from '../command.ts';

/** Columns and rows. */
export interface Size {
  width: number;
  height: number;
}

/** No translation of input or output: Node.js's raw mode still turns "\n" into "\r\n". */
const RAW = ['raw', '-echo', '-iexten'];

/** The operator's terminal while its keys go to a container: raw until disposed, or until the process exits. */
export class RawTerminal implements Disposable {
  readonly #output: OutputStream;
  readonly #restore: () => void;
  #listener: (() => void) | undefined;

  /** Without `input` only the size is used. */
  constructor(input: InputStream | undefined, output: OutputStream) {
    this.#output = output;
    this.#restore = input?.isTTY === true ? makeRaw(input) : () => undefined;
    process.once('exit', this.#restore);
  }

  /** Calls `listener` with the current size, if known, and on each change. */
  onSize(listener: (size: Size) => void): void {
    this.#listener = () => {
      const { columns = 0, rows = 0 } = this.#output;
      if (columns > 0 && rows > 0) listener({ width: columns, height: rows });
    };
    this.#output.on('resize', this.#listener);
    this.#listener();
  }

  [Symbol.dispose](): void {
    if (this.#listener !== undefined) this.#output.off('resize', this.#listener);
    process.off('exit', this.#restore);
    this.#restore();
  }
}

/** Sets standard input to raw mode with stty(1), or by Node.js when stty fails. @returns a function that restores it. */
function makeRaw(input: InputStream): () => void {
  const before = stty('-g')?.trim();
  if (before !== undefined && stty(...RAW) !== undefined) return () => void stty(before);
  input.setRawMode?.(true);
  return () => input.setRawMode?.(false);
}

/** Output of stty on standard input; undefined when it failed. */
function stty(...args: string[]): string | undefined {
  const { status, stdout } = spawnSync('stty', args, { stdio: ['inherit', 'pipe', 'ignore'], encoding: 'utf8' });
  return status === 0 ? stdout : undefined;
}
