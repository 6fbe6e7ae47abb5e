import { writeFileSync } from 'node:fs';
import { limitLines } from '../guest-config/lxc/limits.ts';
import type { Section } from '../config/config-text.ts';

/** What an absent key means in a cgroup. */
const ABSENT: Readonly<Record<string, string>> = { 'cpu.max': 'max', 'cpu.weight': '100' };

/** Which files of the cgroup a key of the configuration sets. */
const FILES: Readonly<Record<string, readonly string[]>> = {
  cpulimit: ['cpu.max'],
  cpuunits: ['cpu.weight'],
  memory: ['memory.max', 'memory.high'],
  swap: ['memory.swap.max'],
};

/**
 * Sets the limits of a running guest that `key` stands for.
 * @param cgroup from the root of the hierarchy
 * @returns whether it stands for any.
 * @throws Error when the kernel refuses the value.
 */
export function changeLimit(cgroup: string, key: string, { values, raw }: Section): boolean {
  const lines = limitLines({ options: values, lxc: raw }, () => undefined);
  for (const file of FILES[key] ?? []) {
    const line = lines.find((found) => found.startsWith(`lxc.cgroup2.${file} = `));
    writeFileSync(`/sys/fs/cgroup${cgroup}/${file}`, line?.replace(/^[^=]*= /, '') ?? ABSENT[file]!);
  }
  return key in FILES;
}
