import { atLeast, MachineVersion, parseVersion } from './version.ts';
import type { HostFacts } from './host.ts';
import { windowsVersion } from './parts/windows.ts';

function createdBy({ meta = '' }: Readonly<Record<string, string>>): string {
  return /(?:^|,)creation-qemu=([^,]+)/.exec(meta)?.[1] ?? '';
}

function typeOf({ machine = '' }: Readonly<Record<string, string>>): string {
  const [first = ''] = machine.split(',').filter((part) => !part.includes('=') || part.startsWith('type='));
  return first.replace(/^type=/, '') || 'pc';
}

/**
 * The machine of a configuration. Windows keeps the one that it was installed on, others have the newest.
 * @throws Error when the program is too old for it.
 */
export function machineOf(values: Readonly<Record<string, string>>, { qemu, release }: HostFacts): MachineVersion {
  const type = typeOf(values);
  if (!['pc', 'q35'].includes(type) || windowsVersion(values) === 0) return new MachineVersion(type, qemu, release);
  const created = parseVersion(createdBy(values));
  const pinned = created !== undefined && atLeast(created, 9, 1) ? `${created.major}.${created.minor}` : '5.1';
  return new MachineVersion(`pc-${type === 'pc' ? 'i440fx' : type}-${pinned}`, qemu, release);
}

/** Whether the slots of PCI devices have to stay as they were before QEMU 6.1, with which the guest was not made. */
export function keepsOldSlots(values: Readonly<Record<string, string>>): boolean {
  if (typeOf(values) !== 'q35' || values['ostype'] !== 'l26') return false;
  const created = parseVersion(createdBy(values));
  return created === undefined || !atLeast(created, 6, 1);
}
