import type { Usage } from '../guests/runtime.ts';
import { processorTime, traffic } from './machine/proc.ts';
import type { Scope } from './machine/scope.ts';

/** Between two readings of the processor time, in milliseconds; until then the last figure stays. */
const SHORTEST = 1000;

/** The readings of one running machine, but what its monitor alone knows. */
export class Meter {
  readonly #vmid: number;
  readonly #pid: number;
  readonly #scope: Scope;
  #last: { at: number; used: number; cpu: number } | undefined;

  constructor(vmid: number, pid: number, scope: Scope) {
    this.#vmid = vmid;
    this.#pid = pid;
    this.#scope = scope;
  }

  /** What the machine uses; its processor time as a fraction of `cpus`. */
  read(cpus: number): Usage {
    const { memory, pressures } = this.#scope;
    const none = { disk: 0, maxdisk: 0, diskread: 0, diskwrite: 0 };
    return { mem: memory, cpu: this.#cpu(cpus), pressures, ...none, ...traffic(this.#vmid) };
  }

  #cpu(cpus: number): number {
    const now = { at: performance.now(), used: processorTime(this.#pid), cpu: 0 };
    const last = this.#last;
    if (last !== undefined) {
      if (now.at - last.at < SHORTEST) return last.cpu;
      now.cpu = (now.used - last.used) / (now.at - last.at) / cpus;
    }
    this.#last = now;
    return now.cpu;
  }
}
