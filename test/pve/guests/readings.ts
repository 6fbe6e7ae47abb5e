import { readFileSync } from 'node:fs';

/** Between two readings of the processor time, in milliseconds; until then the last figure stays. */
const SHORTEST = 1000;

/** The share of the processors that a running guest takes, whatever it is. */
export class ProcessorShare {
  readonly #usedMs: () => number;
  #last: { at: number; used: number; share: number } | undefined;

  /** @param usedMs reads the processor time that the guest has used. */
  constructor(usedMs: () => number) {
    this.#usedMs = usedMs;
  }

  /** The fraction of `cpus` since the last reading. */
  read(cpus: number): number {
    const now = { at: performance.now(), used: this.#usedMs(), share: 0 };
    const last = this.#last;
    if (last !== undefined) {
      if (now.at - last.at < SHORTEST) return last.share;
      now.share = (now.used - last.used) / (now.at - last.at) / cpus;
    }
    this.#last = now;
    return now.share;
  }
}

/**
 * Bytes that the node's ends of a guest's networks received and sent: what the guest sent and received.
 * @param ends what their names begin with, such as `tap100i`.
 */
export function traffic(ends: string): { netin: number; netout: number } {
  const total = { netin: 0, netout: 0 };
  for (const line of readFileSync('/proc/net/dev', 'utf8').split('\n')) {
    const [, name = '', figures = ''] = /^\s*(\S+):\s*(.*)$/.exec(line) ?? [];
    if (!name.startsWith(ends)) continue;
    const fields = figures.split(/\s+/).map(Number);
    total.netout += fields[0] ?? 0;
    total.netin += fields[8] ?? 0;
  }
  return total;
}
