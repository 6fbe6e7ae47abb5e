import { badParameters } from '../../http/api-error.ts';
import type { Kind } from '../../config/kind.ts';
import type { GuestRef } from '../../state/guest-files.ts';
import { numberOf, type Call, type Permission } from '../method.ts';

/** The path of a guest's methods, `more` behind it. */
export function guestPath(kind: Kind, more = ''): string {
  return `/nodes/{node}/${kind.type}/{vmid}${more}`;
}

/** The guest that a call names. */
export function guestOf(call: Call, kind: Kind): GuestRef {
  return { node: call.node, kind, vmid: numberOf(call, 'vmid') };
}

/** Needs the privileges on the guest; with `any`, one of them. */
export function onGuest(...privileges: string[]): Permission {
  return { path: '/vms/{vmid}', privileges, any: true };
}

/**
 * Refuses a flag that only root@pam itself may set, not its tokens.
 * @throws ApiError 400
 */
export function requireRootFor(call: Call, name: string): void {
  const root = call.who.user === 'root@pam' && call.who.token === undefined;
  if (numberOf(call, name) === 1 && !root) throw badParameters({ [name]: 'Only root may use this option.' });
}
