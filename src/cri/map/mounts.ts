import { posix } from 'node:path';
import { MountPropagation } from '../../../api/gen/cri.ts';
import type { IDMapping, Mount } from '../../../api/gen/cri.ts';
import { checkAbsolutePath, checkNoNul } from '../../core/lifecycle/checks.ts';
import type { MountIdMapping, MountSpec } from '../../core/model/container-spec.ts';
import { invalidArgument } from '../../core/model/errors.ts';
import { defined } from '../../utils/object.ts';

/** The kernel's limit for the lines of uid_map and gid_map (user_namespaces(7)). */
const MAPPINGS_LIMIT = 340;
const PROPAGATION: Readonly<Record<number, MountSpec['propagation']>> = {
  [MountPropagation.PROPAGATION_PRIVATE]: 'rprivate',
  [MountPropagation.PROPAGATION_HOST_TO_CONTAINER]: 'rslave',
  [MountPropagation.PROPAGATION_BIDIRECTIONAL]: 'rshared',
};
const RESTRICTIONS = ['noexec', 'nodev', 'nosuid'] as const;

/** A mount of a request (CRI Mount). @throws CriError INVALID_ARGUMENT naming the field. */
export function mountSpec(mount: Mount, index: number): MountSpec {
  const field = `config.mounts[${String(index)}]`;
  checkAbsolutePath(`${field}.container_path`, mount.containerPath);
  if (posix.normalize(mount.containerPath) === '/')
    throw invalidArgument(`${field}.container_path`, 'must not be the root directory');
  const propagation = PROPAGATION[mount.propagation];
  if (propagation === undefined) throw invalidArgument(`${field}.propagation`, 'is not a MountPropagation');
  return {
    containerPath: mount.containerPath,
    source: source(mount, field),
    access: access(mount, field),
    propagation,
    restrictions: mount.mountOptions.map((option) => {
      const known = RESTRICTIONS.find((one) => one === option);
      if (known !== undefined) return known;
      throw invalidArgument(`${field}.mount_options`, `${JSON.stringify(option)} must be noexec, nodev or nosuid`);
    }),
    ...defined({ mappings: mappings(mount, field) }),
  };
}

/** A sub path without an image is ignored: the kubelet sends it with other volumes too. */
function source(mount: Mount, field: string): MountSpec['source'] {
  const image = mount.image?.image ?? '';
  if (image === '') {
    checkAbsolutePath(`${field}.host_path`, mount.hostPath);
    return { hostPath: mount.hostPath };
  }
  if (mount.hostPath !== '') throw invalidArgument(`${field}.host_path`, 'must be empty when image is set');
  if (!mount.readonly) throw invalidArgument(`${field}.readonly`, 'must be true: image volumes are read-only');
  if (mount.propagation === MountPropagation.PROPAGATION_BIDIRECTIONAL) {
    throw invalidArgument(`${field}.propagation`, 'must not be BIDIRECTIONAL for an image volume');
  }
  checkNoNul(`${field}.image_sub_path`, mount.imageSubPath);
  return { image, subPath: mount.imageSubPath };
}

/** CRI Mount.recursive_read_only: only together with readonly and private propagation. */
function access(mount: Mount, field: string): MountSpec['access'] {
  if (!mount.recursiveReadOnly) return mount.readonly ? 'ro' : 'rw';
  if (!mount.readonly) throw invalidArgument(`${field}.recursive_read_only`, 'requires readonly');
  if (mount.propagation !== MountPropagation.PROPAGATION_PRIVATE) {
    throw invalidArgument(`${field}.recursive_read_only`, 'requires PROPAGATION_PRIVATE');
  }
  return 'rro';
}

function mappings({ uidMappings, gidMappings }: Mount, field: string): MountSpec['mappings'] {
  if (uidMappings.length + gidMappings.length === 0) return undefined;
  return {
    uids: idMappings(uidMappings, `${field}.uidMappings`),
    gids: idMappings(gidMappings, `${field}.gidMappings`),
  };
}

function idMappings(given: readonly IDMapping[], field: string): MountIdMapping[] {
  if (given.length === 0) throw invalidArgument(field, 'must not be empty when its counterpart is set');
  if (given.length > MAPPINGS_LIMIT) throw invalidArgument(field, `has more than ${String(MAPPINGS_LIMIT)} entries`);
  return given.map(({ containerId, hostId, length }, index) => {
    if (length === 0) throw invalidArgument(`${field}[${String(index)}].length`, 'must not be 0');
    return { containerId, hostId, size: length };
  });
}
