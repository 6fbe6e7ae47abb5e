import type { PodMetadata } from '../../../../core/model/pod-spec.ts';

/** A label of a DNS name, which is all that a guest's name shows anyway. */
const LONGEST = 63;

/**
 * The name of a pod's guest, `NAMESPACE--POD`, with what a DNS name cannot have left out, and cut to 63 characters. It is for
 * people: two pods may have the same one.
 */
export function guestName({ namespace, name }: PodMetadata): string {
  const text = `${namespace}--${name}`.replace(/[^A-Za-z0-9.-]+/g, '-').replace(/-?\.[.-]*/g, '.');
  return (
    text
      .replace(/^[.-]+/, '')
      .slice(0, LONGEST)
      .replace(/[.-]+$/, '') || 'pod'
  );
}

/** The tags of a pod's guest: `k8s`, its namespace, its handler and others, in Proxmox's form. */
export function guestTags({ namespace }: PodMetadata, handler: string, others: readonly string[] = []): string {
  const tag = namespace
    .toLowerCase()
    .replace(/[^a-z0-9_.+-]+/g, '-')
    .replace(/^[^a-z0-9_]+/, '');
  return [...new Set(['k8s', tag, handler, ...others])]
    .filter((one) => one !== '')
    .sort()
    .join(';');
}
