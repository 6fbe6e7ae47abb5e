import type { GuestRef } from '../state/guest-files.ts';

/** The name of a guest as a resource of HA. */
export function resourceOf({ kind, vmid }: Pick<GuestRef, 'kind' | 'vmid'>): string {
  return `${kind.type === 'lxc' ? 'ct' : 'vm'}:${String(vmid)}`;
}
