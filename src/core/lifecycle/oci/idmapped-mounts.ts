import type { MountIdMapping, MountSpec } from '../../model/container-spec.ts';
import { failedPrecondition, invalidArgument } from '../../model/errors.ts';
import type { OciIdMapping, OciMount } from '../../model/oci-runtime.ts';
import type { PlatformFiles } from '../../model/platform-files.ts';

/**
 * `uidMappings` and `gidMappings` of an OCI mount: the owner of a file in the mount for each owner on its filesystem. Empty for
 * a mount without mappings. @throws CriError INVALID_ARGUMENT in a pod without a user namespace.
 */
export function mountMappings(
  { mappings }: MountSpec,
  field: string,
  inUserNamespace: boolean,
): Pick<OciMount, 'uidMappings' | 'gidMappings'> {
  if (mappings === undefined) return {};
  if (!inUserNamespace) {
    throw invalidArgument(`${field}.uidMappings`, 'requires a pod with its own user namespace (userns_options)');
  }
  return { uidMappings: ociMappings(mappings.uids), gidMappings: ociMappings(mappings.gids) };
}

function ociMappings(mappings: readonly MountIdMapping[]): OciIdMapping[] {
  const all = mappings.map(({ containerId, hostId, size }) => ({ containerID: containerId, hostID: hostId, size }));
  const [first, ...rest] = all;
  return first === undefined ? [] : [...halves(first), ...rest];
}

/**
 * The same mapping in two parts. When a mount has exactly the container's mapping, crun uses the container's user namespace,
 * sometimes before the container has joined it: "mount_setattr: Operation not permitted".
 */
function halves({ containerID, hostID, size }: OciIdMapping): OciIdMapping[] {
  if (size === 1) return [{ containerID, hostID, size }];
  return [
    { containerID, hostID, size: 1 },
    { containerID: containerID + 1, hostID: hostID + 1, size: size - 1 },
  ];
}

/**
 * Checks that the filesystems of the mounts with mappings support idmapped mounts, before the container is created.
 * @param mounts the request's, sources resolved, in its order.
 * @throws CriError FAILED_PRECONDITION naming the mount, its host path, the system error and the remedy.
 */
export async function checkIdmapSupport(
  files: Pick<PlatformFiles, 'idmapProblems'>,
  asked: readonly MountSpec[],
  mounts: readonly OciMount[],
): Promise<void> {
  const mapped = [...mounts.entries()].filter(([, { uidMappings }]) => uidMappings !== undefined);
  const problems = await files.idmapProblems(mapped.map(([, { source }]) => source));
  for (const [at, problem] of problems.entries()) {
    if (problem === undefined) continue;
    const index = mapped[at]?.[0] ?? 0;
    const source = asked[index]?.source;
    const path = source !== undefined && 'hostPath' in source ? source.hostPath : '';
    throw failedPrecondition(
      `config.mounts[${String(index)}].uidMappings: the filesystem of ${path} does not support ` +
        `idmapped mounts (${problem}); move the volume to one that does, such as ext4, xfs or btrfs, or run the ` +
        `pod without a user namespace (hostUsers: true)`,
    );
  }
}
