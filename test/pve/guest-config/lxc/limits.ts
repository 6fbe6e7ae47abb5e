import { cpuList, pickCpus } from './cpuset.ts';
import type { GuestSection } from '../model.ts';
import { perlNumber, perlTrue } from './perl-number.ts';

const MIB = 1024 * 1024;
const LARGE_MIB = 16 * 1024;

/** Memory and CPU limits of cgroup v2, as Proxmox computes them from MiB, CPUs and weight. */
export function limitLines({ options }: GuestSection, warn: (text: string) => void): string[] {
  const memory = perlNumber(perlTrue(options['memory']) ? options['memory'] : 512, 'multiplication (*)', warn);
  const swap = perlNumber(options['swap'] ?? 0, 'multiplication (*)', warn);
  const high = memory >= LARGE_MIB ? (memory - 128) * MIB : memory * 1024 * 1016;
  const lines = [
    `memory.max = ${Math.trunc(memory * MIB)}`,
    `memory.high = ${Math.trunc(high)}`,
    `memory.swap.max = ${Math.trunc(swap * MIB)}`,
  ];
  const limit = options['cpulimit'];
  if (perlTrue(limit))
    lines.push(`cpu.max = ${Math.trunc(100_000 * perlNumber(limit, 'multiplication (*)', warn))} 100000`);
  const weight = options['cpuunits'];
  if (weight !== undefined)
    lines.push(`cpu.weight = ${perlNumber(weight, 'numeric ge (>=)', warn) >= 10_000 ? 10_000 : weight}`);
  return lines.map((line) => `lxc.cgroup2.${line}`);
}

/** The CPUs of a guest with `cores`: so many of the node's, picked at random at each writing of the configuration. */
export function cpusetLines(
  { options }: GuestSection,
  cpus: readonly number[],
  random: () => number,
  warn: (text: string) => void,
): string[] {
  const cores = options['cores'];
  if (!perlTrue(cores)) return [];
  const picked = pickCpus(cpus, perlNumber(cores, 'numeric gt (>)', warn), random);
  return [`lxc.cgroup2.cpuset.cpus = ${cpuList(picked)}`];
}
