import type { OutputStream } from '../command.ts';
import { cut } from '../output/table.ts';
import { formatBytes } from '../output/units.ts';

/** Milliseconds between two drawings. */
const INTERVAL_MS = 200;

/** The progress of long work in bytes: on a terminal a line that is redrawn, elsewhere nothing. */
export class ProgressLine {
  readonly #output: OutputStream;
  readonly #begin = performance.now();
  #drawnAt = 0;

  constructor(output: OutputStream) {
    this.#output = output;
  }

  update(done: number, total: number | undefined): void {
    const now = performance.now();
    if (this.#output.isTTY !== true || now - this.#drawnAt < INTERVAL_MS) return;
    this.#drawnAt = now;
    const { columns = 80 } = this.#output;
    this.#output.write(`\r\u001b[K${cut(progressText(done, total, now - this.#begin), Math.max(1, columns - 1))}`);
  }

  /** Removes the line. */
  end(): void {
    if (this.#drawnAt > 0) this.#output.write('\r\u001b[K');
  }
}

/** `1.0 MiB / 4.0 MiB  2.0 MiB/s  2 s left`. */
export function progressText(done: number, total: number | undefined, elapsedMs: number): string {
  const rate = (done * 1000) / Math.max(elapsedMs, 1);
  const left = rate > 0 && total !== undefined ? `  ${Math.ceil((total - done) / rate)} s left` : '';
  const bytes = (count: number) => formatBytes(BigInt(Math.round(count)));
  const all = total === undefined ? '' : ` / ${bytes(total)}`;
  return `${bytes(done)}${all}  ${bytes(rate)}/s${left}`;
}
