import { spawnSync } from 'node:child_process';
import type { InputStream, OutputStream } from '../command.ts';

/** Columns and rows. */
export interface Size {
  width: number;
  height: number;
}

/** Neither input nor output is changed on its way: Node.js's own raw mode goes on turning "\n" into "\r\n". */
const RAW = ['raw', '-echo', '-iexten'];

/** The operator's terminal while its keys go to a container: raw until it is disposed of, or the process exits. */
export class RawTerminal implements Disposable {
  readonly #output: OutputStream;
  readonly #restore: () => void;
  #listener: (() => void) | undefined;

  /** Without `input` only the size is of interest. */
  constructor(input: InputStream | undefined, output: OutputStream) {
    this.#output = output;
    this.#restore = input?.isTTY === true ? makeRaw(input) : () => undefined;
    process.once('exit', this.#restore);
  }

  /** Calls `listener` with the size now, where it is known, and with each later one. */
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

/** Makes standard input raw by stty(1), or as far as Node.js can where there is none. @returns what restores it. */
function makeRaw(input: InputStream): () => void {
  const before = stty('-g')?.trim();
  if (before !== undefined && stty(...RAW) !== undefined) return () => void stty(before);
  input.setRawMode?.(true);
  return () => input.setRawMode?.(false);
}

/** What stty says of our standard input; undefined when it failed. */
function stty(...args: string[]): string | undefined {
  const { status, stdout } = spawnSync('stty', args, { stdio: ['inherit', 'pipe', 'ignore'], encoding: 'utf8' });
  return status === 0 ? stdout : undefined;
}
