const PREFIX = 'warm-';

/**
 * The id of a guest that is started ahead of its pod; it has the place of a pod's id until one claims the guest.
 * @param unique 24 hexadecimal digits that no other has.
 */
export function warmId(unique: string): string {
  return PREFIX + unique;
}

/** Whether the owner of a guest is a warm id, not a pod's. */
export function isWarmId(owner: string): boolean {
  return owner.startsWith(PREFIX) && /^[0-9a-f]{24}$/.test(owner.slice(PREFIX.length));
}
