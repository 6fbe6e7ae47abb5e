import { realpath } from 'node:fs/promises';
import { posix } from 'node:path';
import { MountPropagation } from '../../../../api/gen/cri.ts';
import type { ContainerConfig, Mount } from '../../../../api/gen/cri.ts';
import { invalidArgument, isErrno, unimplemented } from '../../model/errors.ts';
import type { OciMount } from '../../model/oci-runtime.ts';
import { checkAbsolutePath } from '../checks.ts';
import type { PodFiles } from '../pods/files.ts';

const PROPAGATION: Record<number, string> = {
  [MountPropagation.PROPAGATION_PRIVATE]: 'rprivate',
  [MountPropagation.PROPAGATION_HOST_TO_CONTAINER]: 'rslave',
  [MountPropagation.PROPAGATION_BIDIRECTIONAL]: 'rshared',
};

/**
 * All mounts of a container, in the order they are made: the kernel's file systems, the pod's files where the request
 * mounts nothing of its own there, then the request's mounts.
 * @throws CriError INVALID_ARGUMENT, UNIMPLEMENTED.
 */
export async function containerMounts(
  config: ContainerConfig,
  pod: { files: PodFiles; hostIpc: boolean; hostPid: boolean },
): Promise<OciMount[]> {
  const privileged = config.linux?.securityContext?.privileged ?? false;
  const requested = new Set(config.mounts.map((mount) => posix.normalize(mount.containerPath)));
  const bind = (source: string, destination: string, readonly: boolean): OciMount[] =>
    requested.has(destination)
      ? []
      : [{ destination, type: 'bind', source, options: ['rbind', 'rprivate', readonly ? 'ro' : 'rw'] }];
  const readonlyRootfs = config.linux?.securityContext?.readonlyRootfs ?? false;
  const shm = pod.hostIpc ? '/dev/shm' : pod.files.shm;
  return [
    ...systemMounts(privileged),
    ...bind(shm, '/dev/shm', false),
    ...bind(pod.files.resolvConf, '/etc/resolv.conf', readonlyRootfs),
    ...bind(pod.files.hostname, '/etc/hostname', readonlyRootfs),
    ...bind(pod.files.hosts, '/etc/hosts', readonlyRootfs),
    ...(await Promise.all(
      config.mounts.map((mount, index) => requestedMount(mount, `config.mounts[${String(index)}]`)),
    )),
  ];
}

function systemMounts(privileged: boolean): OciMount[] {
  const access = privileged ? 'rw' : 'ro';
  const mount = (destination: string, type: string, source: string, ...options: string[]) => ({
    destination,
    type,
    source,
    options,
  });
  return [
    mount('/proc', 'proc', 'proc', 'nosuid', 'noexec', 'nodev'),
    mount('/dev', 'tmpfs', 'tmpfs', 'nosuid', 'strictatime', 'mode=755', 'size=65536k'),
    mount('/dev/pts', 'devpts', 'devpts', 'nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'),
    mount('/dev/mqueue', 'mqueue', 'mqueue', 'nosuid', 'noexec', 'nodev'),
    mount('/sys', 'sysfs', 'sysfs', 'nosuid', 'noexec', 'nodev', access),
    mount('/sys/fs/cgroup', 'cgroup', 'cgroup', 'nosuid', 'noexec', 'nodev', 'relatime', access),
  ];
}

async function requestedMount(mount: Mount, field: string): Promise<OciMount> {
  checkAbsolutePath(`${field}.container_path`, mount.containerPath);
  if (mount.image !== undefined && mount.image.image !== '') throw unimplemented(`${field}.image: an image volume`);
  if (mount.recursiveReadOnly) checkRecursiveReadOnly(mount, field);
  if (mount.uidMappings.length > 0 || mount.gidMappings.length > 0) {
    throw unimplemented(`${field}.uidMappings: an idmapped mount`);
  }
  checkAbsolutePath(`${field}.host_path`, mount.hostPath);
  const propagation = PROPAGATION[mount.propagation];
  if (propagation === undefined) throw invalidArgument(`${field}.propagation`, 'is no MountPropagation');
  const restrictions = mount.mountOptions.map((option) => {
    if (['noexec', 'nodev', 'nosuid'].includes(option)) return option;
    throw invalidArgument(`${field}.mount_options`, `${JSON.stringify(option)} must be noexec, nodev or nosuid`);
  });
  return {
    destination: mount.containerPath,
    type: 'bind',
    source: await resolveHostPath(mount.hostPath, `${field}.host_path`),
    options: ['rbind', propagation, mount.recursiveReadOnly ? 'rro' : mount.readonly ? 'ro' : 'rw', ...restrictions],
  };
}

/** CRI Mount.recursive_read_only: only together with readonly and private propagation. */
function checkRecursiveReadOnly(mount: Mount, field: string): void {
  if (!mount.readonly) throw invalidArgument(`${field}.recursive_read_only`, 'needs readonly as well');
  if (mount.propagation !== MountPropagation.PROPAGATION_PRIVATE) {
    throw invalidArgument(`${field}.recursive_read_only`, 'needs PROPAGATION_PRIVATE');
  }
}

/** The kernel follows a link at mount time anyway; resolving here gives a clear error (CRI Mount.host_path: must exist). */
async function resolveHostPath(path: string, field: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR'))
      throw invalidArgument(field, `${JSON.stringify(path)} does not exist on the node`);
    throw invalidArgument(field, `${JSON.stringify(path)} cannot be resolved: ${String(error)}`);
  }
}
