import type { OutputStream } from '../command.ts';
import { cut } from '../output/table.ts';
import { formatBytes, formatDuration } from '../output/units.ts';

/** Milliseconds between two drawings on a terminal, and between two lines elsewhere. */
const DRAW_MS = 200;
const LINE_MS = 10_000;

/** The progress of long work in bytes: on a terminal a line that is redrawn, elsewhere a line every ten seconds. */
export class ProgressLine {
  readonly #output: OutputStream;
  readonly #now: () => number;
  readonly #begin: number;
  #shownAt: number;
  #isDrawn = false;

  /** @param now a clock in milliseconds. */
  constructor(output: OutputStream, now = () => performance.now()) {
    this.#output = output;
    this.#now = now;
    this.#begin = now();
    this.#shownAt = output.isTTY === true ? -Infinity : this.#begin;
  }

  update(done: number, total: number | undefined): void {
    const now = this.#now();
    const isTerminal = this.#output.isTTY === true;
    if (now - this.#shownAt < (isTerminal ? DRAW_MS : LINE_MS)) return;
    this.#shownAt = now;
    const text = progressText(done, total, now - this.#begin);
    const { columns = 0 } = this.#output;
    // 0: a terminal that does not know its size.
    const width = columns === 0 ? 80 : columns;
    this.#output.write(isTerminal ? `\r\u001b[K${cut(text, Math.max(1, width - 1))}` : `${text}\n`);
    this.#isDrawn = isTerminal;
  }

  /** Removes the line from a terminal. */
  end(): void {
    if (this.#isDrawn) this.#output.write('\r\u001b[K');
    this.#isDrawn = false;
  }

  /** Milliseconds since it was made. */
  get elapsedMs(): number {
    return this.#now() - this.#begin;
  }
}

/** `1.0 MiB / 4.0 MiB  2.0 MiB/s  2 s left`. */
export function progressText(done: number, total: number | undefined, elapsedMs: number): string {
  const rate = (done * 1000) / Math.max(elapsedMs, 1);
  const left = rate > 0 && total !== undefined ? `  ${formatDuration(Math.max(0, total - done) / rate)} left` : '';
  const bytes = (count: number) => formatBytes(BigInt(Math.round(count)));
  const all = total === undefined ? '' : ` / ${bytes(total)}`;
  return `${bytes(done)}${all}  ${bytes(rate)}/s${left}`;
}
