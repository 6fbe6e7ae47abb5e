import { ProcessorShare, traffic } from '../guests/readings.ts';
import type { Usage } from '../guests/runtime.ts';
import { processorTime } from './machine/proc.ts';
import type { Scope } from './machine/scope.ts';

/** The readings of one running machine, but what its monitor alone knows. */
export class Meter {
  readonly #vmid: number;
  readonly #processors: ProcessorShare;
  readonly #scope: Scope;

  constructor(vmid: number, pid: number, scope: Scope) {
    this.#vmid = vmid;
    this.#processors = new ProcessorShare(() => processorTime(pid));
    this.#scope = scope;
  }

  /** What the machine uses; its processor time as a fraction of `cpus`. */
  read(cpus: number): Usage {
    const { memory, pressures } = this.#scope;
    const none = { disk: 0, maxdisk: 0, diskread: 0, diskwrite: 0 };
    return { mem: memory, cpu: this.#processors.read(cpus), pressures, ...none, ...traffic(`tap${this.#vmid}i`) };
  }
}
