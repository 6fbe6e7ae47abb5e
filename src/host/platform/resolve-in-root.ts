import { posix } from 'node:path';
import { invalidArgument, unavailable } from '../../core/model/errors.ts';
import type { InnerMount } from '../../core/model/platform-files.ts';
import { messageOf } from '../../utils/errors.ts';
import { ScopedFileError, linkTarget, resolveLinks } from '../../utils/fs/scoped.ts';
import { StepError } from '../native/call.ts';
import { readLinkPath } from '../paths.ts';

/** `resolveInRoot` of PlatformFiles on this host. */
export async function resolveInRoot(
  rootfs: string,
  path: string,
  field: string,
  mounts: readonly InnerMount[] = [],
): Promise<string> {
  const targetOf = async (inside: string) => {
    const below = mounts.filter(({ destination }) => inside === destination || inside.startsWith(`${destination}/`));
    // The longest is the innermost, and the last of equals covers the others.
    const mount = below.reduce<InnerMount | undefined>(
      (deepest, one) => (one.destination.length >= (deepest?.destination.length ?? 0) ? one : deepest),
      undefined,
    );
    if (mount === undefined) return linkTarget(posix.join(rootfs, inside));
    if (mount.source === undefined || inside === mount.destination) return undefined;
    // A volume may be on a stalled filesystem.
    return readLinkPath(posix.join(mount.source, inside.slice(mount.destination.length)));
  };
  try {
    return await resolveLinks(path, targetOf);
  } catch (error) {
    if (error instanceof ScopedFileError) throw invalidArgument(field, error.message);
    if (error instanceof StepError && error.status === 'timeout')
      throw unavailable(`${field}: ${messageOf(error)}`, error);
    throw error;
  }
}
