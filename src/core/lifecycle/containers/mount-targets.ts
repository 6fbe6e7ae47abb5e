import { posix } from 'node:path';
import { resolveInRoot } from '../../../host/platform/resolve-in-root.ts';
import type { MountSpec } from '../../model/container-spec.ts';
import { invalidArgument } from '../../model/errors.ts';

/**
 * Where the request's mounts go when links in the container's root are followed, in the request's order. crun follows them
 * too, but fails at one that leads to nothing, where a folder can be made. What lies below another mount of the request is
 * left as it is written: the links there are the other mount's.
 * @throws CriError INVALID_ARGUMENT for a path that leads to the root itself or is behind a loop of links.
 */
export async function mountTargets(rootfs: string, mounts: readonly MountSpec[]): Promise<string[]> {
  const written = mounts.map(({ containerPath }) => posix.join(containerPath, '/').slice(0, -1));
  return Promise.all(
    written.map(async (path, index) => {
      const field = `config.mounts[${String(index)}].container_path`;
      const isBelow = written.some((other) => other !== '' && path.startsWith(`${other}/`));
      const target = isBelow ? path : await resolveInRoot(rootfs, path, field);
      if (target === '/') throw invalidArgument(field, 'cannot be the root directory itself');
      return target;
    }),
  );
}
