import { Field, LinuxCPU, LinuxMemory } from '../../../../api/gen/nri.ts';
import type { LinuxResources } from '../../../../api/gen/nri.ts';
import type { Owners } from './owners.ts';

const MEMORY: readonly [keyof LinuxMemory, Field][] = [
  ['limit', Field.MemLimit],
  ['reservation', Field.MemReservation],
  ['swap', Field.MemSwapLimit],
  ['kernel', Field.MemKernelLimit],
  ['kernelTcp', Field.MemTCPLimit],
  ['swappiness', Field.MemSwappiness],
  ['disableOomKiller', Field.MemDisableOomKiller],
  ['useHierarchy', Field.MemUseHierarchy],
];
const CPU: readonly [keyof LinuxCPU, Field][] = [
  ['shares', Field.CPUShares],
  ['quota', Field.CPUQuota],
  ['period', Field.CPUPeriod],
  ['realtimeRuntime', Field.CPURealtimeRuntime],
  ['realtimePeriod', Field.CPURealtimePeriod],
  ['cpus', Field.CPUSetCPUs],
  ['mems', Field.CPUSetMems],
];
const CLASSES = [
  ['blockioClass', Field.BlockioClass],
  ['rdtClass', Field.RdtClass],
  ['pids', Field.PidsLimit],
] as const;

/**
 * Adds the limits that a plugin wants to those of the plugins before it, and to what the next ones are shown.
 * @throws CriError when two plugins want the same.
 */
export function collectResources(
  wanted: LinuxResources | undefined,
  targets: readonly LinuxResources[],
  owners: Owners,
  { containerId, plugin }: { containerId: string; plugin: string },
): void {
  if (wanted === undefined) return;
  const claim = (field: Field, key?: string) => {
    owners.claim(containerId, field, plugin, key);
  };
  const set = (target: object, key: string, value: unknown) => Object.assign(target, { [key]: value });
  const isSet = (value: unknown) => value !== undefined && value !== '';
  for (const [key, field] of MEMORY) {
    const value = wanted.memory?.[key];
    if (!isSet(value)) continue;
    claim(field);
    for (const target of targets) set((target.memory ??= LinuxMemory.create({})), key, value);
  }
  for (const [key, field] of CPU) {
    const value = wanted.cpu?.[key];
    if (!isSet(value)) continue;
    claim(field);
    for (const target of targets) set((target.cpu ??= LinuxCPU.create({})), key, value);
  }
  for (const [key, field] of CLASSES) {
    if (wanted[key] === undefined) continue;
    claim(field);
    for (const target of targets) set(target, key, wanted[key]);
  }
  for (const page of wanted.hugepageLimits) {
    claim(Field.HugepageLimits, page.pageSize);
    for (const target of targets)
      target.hugepageLimits = [...target.hugepageLimits.filter((one) => one.pageSize !== page.pageSize), page];
  }
  for (const [file, value] of Object.entries(wanted.unified)) {
    claim(Field.CgroupsUnified, file);
    for (const target of targets) target.unified = { ...target.unified, [file]: value };
  }
  for (const target of targets) target.devices = [...target.devices, ...wanted.devices];
}
