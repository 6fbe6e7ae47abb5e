import { posix } from 'node:path';
import { invalidArgument } from '../../core/model/errors.ts';
import { ScopedFileError, resolveLinks } from '../../utils/fs/scoped.ts';

/** Something mounted in a container's root; `source` is undefined where it is not known here. */
export interface InnerMount {
  destination: string;
  source: string | undefined;
}

/**
 * A path as the container sees it when links inside its root, and inside what is mounted there, are followed; nothing runs
 * in the root yet that could change it. What is mounted without a known source holds no links.
 * @throws CriError INVALID_ARGUMENT for a loop of links, naming `field`.
 */
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
