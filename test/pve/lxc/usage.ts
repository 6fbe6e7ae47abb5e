import { readFileSync, statfsSync } from 'node:fs';
import { ProcessorShare, traffic } from '../guests/readings.ts';
import type { Usage } from '../guests/runtime.ts';

const CGROUPS = '/sys/fs/cgroup';

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    // The cgroup of a guest that ends goes at any moment.
    return '';
  }
}

/** The value that stands behind `name` on a line of its own. */
function flat(text: string, name: string): number {
  return Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(text)?.[1] ?? 0);
}

function sum(text: string, name: string): number {
  return [...text.matchAll(new RegExp(`\\b${name}=(\\d+)`, 'g'))].reduce(
    (total, [, value]) => total + Number(value),
    0,
  );
}

/** Null where there is no such cgroup, as for a guest that `lxc.include` moved. */
function pressures(cgroup: string): Record<string, string | null> {
  return Object.fromEntries(
    ['cpu', 'io', 'memory'].flatMap((name) => {
      const text = read(`${CGROUPS}${cgroup}/${name}.pressure`);
      return ['some', 'full'].map((kind) => [
        `pressure${name}${kind}`,
        text === '' ? null : (new RegExp(`^${kind} avg10=([\\d.]+)`, 'm').exec(text)?.[1] ?? '0.00'),
      ]);
    }),
  );
}

function space(pid: number): { disk: number; maxdisk: number } {
  try {
    const { bsize, blocks, bfree } = statfsSync(`/proc/${pid}/root`);
    return { disk: (blocks - bfree) * bsize, maxdisk: blocks * bsize };
  } catch {
    return { disk: 0, maxdisk: 0 };
  }
}

/** The readings of one running guest. */
export class Meter {
  readonly #vmid: number;
  readonly #pid: number;
  readonly #cgroup: string;
  readonly #processors: ProcessorShare;

  constructor(vmid: number, { pid, cgroup }: { pid: number; cgroup: string }) {
    this.#vmid = vmid;
    this.#pid = pid;
    this.#cgroup = cgroup;
    const usedMs = () => flat(read(`${CGROUPS}${cgroup}/cpu.stat`), 'usage_usec') / 1000;
    this.#processors = new ProcessorShare(usedMs);
  }

  /** What the guest uses; its processor time as a fraction of `cpus`. */
  read(cpus: number): Usage {
    const cgroup = CGROUPS + this.#cgroup;
    const io = read(`${cgroup}/io.stat`);
    return {
      mem: Number(read(`${cgroup}/memory.current`)) - flat(read(`${cgroup}/memory.stat`), 'file'),
      swap: Number(read(`${cgroup}/memory.swap.current`)),
      cpu: this.#processors.read(cpus),
      diskread: sum(io, 'rbytes'),
      diskwrite: sum(io, 'wbytes'),
      // The node reads these at this place, wherever the guest's cgroup is.
      pressures: pressures(`/lxc/${this.#vmid}`),
      ...space(this.#pid),
      ...traffic(`veth${this.#vmid}i`),
    };
  }
}
