import { readFileSync, statfsSync } from 'node:fs';
import type { Usage } from '../guests/runtime.ts';

const CGROUPS = '/sys/fs/cgroup';
/** Between two readings of the processor time, in milliseconds; until then the last figure stays. */
const SHORTEST = 1000;

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

function pressures(cgroup: string): Record<string, string> {
  return Object.fromEntries(
    ['cpu', 'io', 'memory'].flatMap((name) => {
      const text = read(`${CGROUPS}${cgroup}/${name}.pressure`);
      return ['some', 'full'].map((kind) => [
        `pressure${name}${kind}`,
        new RegExp(`^${kind} avg10=([\\d.]+)`, 'm').exec(text)?.[1] ?? '0.00',
      ]);
    }),
  );
}

/** Bytes that the node's ends of the guest's networks received and sent: what the guest sent and received. */
function traffic(vmid: number): { netin: number; netout: number } {
  const total = { netin: 0, netout: 0 };
  for (const line of read('/proc/net/dev').split('\n')) {
    const [, name = '', figures = ''] = /^\s*(\S+):\s*(.*)$/.exec(line) ?? [];
    if (!name.startsWith(`veth${vmid}i`)) continue;
    const fields = figures.split(/\s+/).map(Number);
    total.netout += fields[0] ?? 0;
    total.netin += fields[8] ?? 0;
  }
  return total;
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
  #last: { at: number; used: number; cpu: number } | undefined;

  constructor(vmid: number, { pid, cgroup }: { pid: number; cgroup: string }) {
    this.#vmid = vmid;
    this.#pid = pid;
    this.#cgroup = cgroup;
  }

  /** What the guest uses; its processor time as a fraction of `cpus`. */
  read(cpus: number): Usage {
    const cgroup = CGROUPS + this.#cgroup;
    const io = read(`${cgroup}/io.stat`);
    return {
      mem: Number(read(`${cgroup}/memory.current`)) - flat(read(`${cgroup}/memory.stat`), 'file'),
      swap: Number(read(`${cgroup}/memory.swap.current`)),
      cpu: this.#cpu(cpus),
      diskread: sum(io, 'rbytes'),
      diskwrite: sum(io, 'wbytes'),
      // The node reads these at this place, wherever the guest's cgroup is.
      pressures: pressures(`/lxc/${this.#vmid}`),
      ...space(this.#pid),
      ...traffic(this.#vmid),
    };
  }

  #cpu(cpus: number): number {
    const now = {
      at: performance.now(),
      used: flat(read(`${CGROUPS}${this.#cgroup}/cpu.stat`), 'usage_usec') / 1000,
      cpu: 0,
    };
    const last = this.#last;
    if (last !== undefined) {
      if (now.at - last.at < SHORTEST) return last.cpu;
      now.cpu = (now.used - last.used) / (now.at - last.at) / cpus;
    }
    this.#last = now;
    return now.cpu;
  }
}
