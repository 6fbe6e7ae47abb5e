import { posix } from 'node:path';
import type { MountSpec } from '../../model/container-spec.ts';
import { invalidArgument } from '../../model/errors.ts';
import type { InnerMount, PlatformFiles } from '../../model/platform-files.ts';

/**
 * The targets of the request's mounts with links in the container's root resolved, in the request's order. crun follows
 * links too, but fails at a dangling one, where a directory can be created. A mount may be behind a link in another
 * mount of the request, except for one of an image, which does not exist yet.
 * @throws CriError INVALID_ARGUMENT for a path that leads to the root itself or is behind a loop of links.
 */
export async function mountTargets(
  files: Pick<PlatformFiles, 'resolveInRoot'>,
  rootfs: string,
  mounts: readonly MountSpec[],
): Promise<string[]> {
  const written = mounts.map(({ containerPath }) => posix.join(containerPath, '/').slice(0, -1));
  const targets = [...written];
  const made: InnerMount[] = [];
  // In mount order: parent directories before their content.
  const depth = (index: number) => written[index]?.split('/').length ?? 0;
  for (const index of [...mounts.keys()].sort((a, b) => depth(a) - depth(b))) {
    const field = `config.mounts[${String(index)}].container_path`;
    const target = await files.resolveInRoot(rootfs, written[index] ?? '', field, made);
    if (target === '/') throw invalidArgument(field, 'must not be the root directory');
    targets[index] = target;
    const source = mounts[index]?.source;
    made.push({ destination: target, source: source && 'hostPath' in source ? source.hostPath : undefined });
  }
  return targets;
}
