import { posix } from 'node:path';
import { invalidArgument } from '../../core/model/errors.ts';
import type { InnerMount } from '../../core/model/platform-files.ts';
import { ScopedFileError, resolveLinks } from '../../utils/fs/scoped.ts';

/** `resolveInRoot` of PlatformFiles on this host. */
export async function resolveInRoot(
  rootfs: string,
  path: string,
  field: string,
  mounts: readonly InnerMount[] = [],
): Promise<string> {
  const locate = (inside: string) => {
    const below = mounts.filter(({ destination }) => inside === destination || inside.startsWith(`${destination}/`));
    // The longest is the innermost, and the last of equals covers the others.
    const mount = below.reduce<InnerMount | undefined>(
      (deepest, one) => (one.destination.length >= (deepest?.destination.length ?? 0) ? one : deepest),
      undefined,
    );
    if (mount === undefined) return posix.join(rootfs, inside);
    if (mount.source === undefined || inside === mount.destination) return undefined;
    return posix.join(mount.source, inside.slice(mount.destination.length));
  };
  try {
    return await resolveLinks(path, locate);
  } catch (error) {
    if (error instanceof ScopedFileError) throw invalidArgument(field, error.message);
    throw error;
  }
}
