import type { OciMount } from './oci-runtime.ts';

/**
 * Mounts with another one, which replaces one with the same destination. After the kernel's filesystems, parent directories come
 * before their content.
 */
export function placeMount(mounts: readonly OciMount[], mount: OciMount): OciMount[] {
  const others = mounts.filter((other) => other.destination !== mount.destination);
  const depth = (path: string) => path.split('/').length;
  const first = others.findIndex((other) => other.type === 'bind');
  const deeper = others.findIndex(
    (other, index) => first >= 0 && index >= first && depth(other.destination) > depth(mount.destination),
  );
  return deeper < 0 ? [...others, mount] : others.toSpliced(deeper, 0, mount);
}
