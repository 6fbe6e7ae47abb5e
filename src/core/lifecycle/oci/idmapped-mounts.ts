import type { ContainerConfig, IDMapping, Mount } from '../../../../api/gen/cri.ts';
import { idmapProblems } from '../../../host/idmap/support.ts';
import { failedPrecondition, invalidArgument } from '../../model/errors.ts';
import type { OciIdMapping, OciMount } from '../../model/oci-runtime.ts';

/** The kernel's bound on the lines of uid_map and gid_map (user_namespaces(7)). */
const MAPPINGS_LIMIT = 340;

/**
 * `uidMappings` and `gidMappings` of an OCI mount, from CRI's of the same names: who owns a file in the mount, given whom it
 * belongs to on its file system. Nothing for a mount without.
 * @throws CriError INVALID_ARGUMENT for one without the other, for malformed ones, and in a pod without a user namespace.
 */
export function mountMappings(
  mount: Mount,
  field: string,
  inUserNamespace: boolean,
): Pick<OciMount, 'uidMappings' | 'gidMappings'> {
  const { uidMappings, gidMappings } = mount;
  if (uidMappings.length + gidMappings.length === 0) return {};
  if (!inUserNamespace) {
    throw invalidArgument(`${field}.uidMappings`, 'needs a pod with a user namespace of its own (userns_options)');
  }
  return {
    uidMappings: ociMappings(uidMappings, `${field}.uidMappings`),
    gidMappings: ociMappings(gidMappings, `${field}.gidMappings`),
  };
}

function ociMappings(mappings: readonly IDMapping[], field: string): OciIdMapping[] {
  if (mappings.length === 0) throw invalidArgument(field, 'must not be empty where its counterpart is not');
  if (mappings.length > MAPPINGS_LIMIT) throw invalidArgument(field, `has more than ${String(MAPPINGS_LIMIT)} entries`);
  const all = mappings.map(({ containerId, hostId, length }, index) => {
    if (length === 0) throw invalidArgument(`${field}[${String(index)}].length`, 'must not be 0');
    return { containerID: containerId, hostID: hostId, size: length };
  });
  const [first, ...rest] = all;
  return first === undefined ? [] : [...halves(first), ...rest];
}

/**
 * The same mapping in two parts. Where a mount maps ids word for word as the container does, crun takes the container's user
 * namespace, and sometimes looks at it before the container has joined it: "mount_setattr: Operation not permitted".
 */
function halves({ containerID, hostID, size }: OciIdMapping): OciIdMapping[] {
  if (size === 1) return [{ containerID, hostID, size }];
  return [
    { containerID, hostID, size: 1 },
    { containerID: containerID + 1, hostID: hostID + 1, size: size - 1 },
  ];
}

/**
 * Looks whether the file systems of the mounts with mappings can do it, before anything is made of them.
 * @param mounts the request's, sources resolved, in its order.
 * @throws CriError FAILED_PRECONDITION naming the mount, its host path, the system's words and the remedy.
 */
export async function checkIdmapSupport(config: ContainerConfig, mounts: readonly OciMount[]): Promise<void> {
  const mapped = [...mounts.entries()].filter(([, { uidMappings }]) => uidMappings !== undefined);
  const problems = await idmapProblems(mapped.map(([, { source }]) => source));
  for (const [at, problem] of problems.entries()) {
    if (problem === undefined) continue;
    const index = mapped[at]?.[0] ?? 0;
    throw failedPrecondition(
      `config.mounts[${String(index)}].uidMappings: the file system of ${config.mounts[index]?.hostPath ?? ''} cannot be ` +
        `mounted with mapped ids (${problem}): move the volume to one that can, such as ext4, xfs or btrfs, or run the ` +
        `pod without a user namespace (hostUsers: true)`,
    );
  }
}
