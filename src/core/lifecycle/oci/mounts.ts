import { realpath } from 'node:fs/promises';
import type { ContainerSpec, MountSpec } from '../../model/container-spec.ts';
import { invalidArgument } from '../../model/errors.ts';
import { isErrno } from '../../../utils/errors.ts';
import type { OciMount } from '../../model/oci-runtime.ts';
import type { PodFiles } from '../../model/pod-directories.ts';
import { checkIdmapSupport, mountMappings } from './idmapped-mounts.ts';

/** What was found out or made for a container's mounts before. */
export interface PreparedMounts {
  /** Where the request's mounts go, in its order. */
  targets: readonly string[];
  /** Directories that the image declares. */
  declared: readonly OciMount[];
  /** Where the content of an image volume is, by the index of its mount in the request. */
  images: ReadonlyMap<number, string>;
}

/**
 * All mounts of a container, in the order they are made: the kernel's file systems; then, upper folders before what lies in
 * them, the pod's files where the request mounts nothing of its own there, the volumes the image declares, and the request's.
 * @throws CriError INVALID_ARGUMENT; FAILED_PRECONDITION for a file system that cannot map ids.
 */
export async function containerMounts(
  { mounts, security }: Pick<ContainerSpec, 'mounts' | 'security'>,
  pod: { files: PodFiles; hostIpc: boolean; hostNetwork: boolean; userNamespace: boolean },
  prepared: PreparedMounts,
): Promise<OciMount[]> {
  const { privileged, readonlyRootfs } = security;
  const requested = new Set(prepared.targets);
  const bind = (source: string, destination: string, readonly: boolean): OciMount[] =>
    requested.has(destination)
      ? []
      : [{ destination, type: 'bind', source, options: ['rbind', 'rprivate', readonly ? 'ro' : 'rw'] }];
  const shm = pod.hostIpc ? '/dev/shm' : pod.files.shm;
  const wanted = await Promise.all(
    mounts.map(async (mount, index) => {
      const field = `config.mounts[${String(index)}]`;
      const target = prepared.targets[index] ?? mount.containerPath;
      const mappings = mountMappings(mount, field, pod.userNamespace);
      const image = prepared.images.get(index);
      // The files of an image volume belong to the ids of the pod's user namespace already.
      if (image !== undefined) return requestedMount(mount, field, target, image);
      return { ...(await requestedMount(mount, field, target, undefined)), ...mappings };
    }),
  );
  await checkIdmapSupport(mounts, wanted);
  const binds = [
    ...bind(shm, '/dev/shm', false),
    ...bind(pod.files.resolvConf, '/etc/resolv.conf', readonlyRootfs),
    ...bind(pod.files.hostname, '/etc/hostname', readonlyRootfs),
    ...bind(pod.files.hosts, '/etc/hosts', readonlyRootfs),
    ...prepared.declared,
    ...wanted,
  ];
  // The other way round, a folder would hide what was mounted in it. Among equals the order stays.
  const depth = ({ destination }: OciMount) => destination.split('/').length;
  return [...systemMounts(privileged, pod), ...binds.sort((a, b) => depth(a) - depth(b))];
}

function systemMounts(privileged: boolean, pod: { hostNetwork: boolean; userNamespace: boolean }): OciMount[] {
  const access = privileged ? 'rw' : 'ro';
  const mount = (destination: string, type: string, source: string, ...options: string[]) => ({
    destination,
    type,
    source,
    options,
  });
  // Only who owns the network namespace may mount a sysfs that shows it (user_namespaces(7)).
  const sysfs =
    pod.hostNetwork && pod.userNamespace
      ? mount('/sys', 'bind', '/sys', 'rbind', 'rprivate', 'nosuid', 'noexec', 'nodev', privileged ? 'rw' : 'rro')
      : mount('/sys', 'sysfs', 'sysfs', 'nosuid', 'noexec', 'nodev', access);
  return [
    mount('/proc', 'proc', 'proc', 'nosuid', 'noexec', 'nodev'),
    mount('/dev', 'tmpfs', 'tmpfs', 'nosuid', 'strictatime', 'mode=755', 'size=65536k'),
    mount('/dev/pts', 'devpts', 'devpts', 'nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'),
    mount('/dev/mqueue', 'mqueue', 'mqueue', 'nosuid', 'noexec', 'nodev'),
    sysfs,
    mount('/sys/fs/cgroup', 'cgroup', 'cgroup', 'nosuid', 'noexec', 'nodev', 'relatime', access),
  ];
}

/** @param imageSource where the content of an image volume is; undefined for a mount of a host path. */
async function requestedMount(
  { source, propagation, access, restrictions }: MountSpec,
  field: string,
  target: string,
  imageSource: string | undefined,
): Promise<OciMount> {
  const hostPath = 'hostPath' in source ? source.hostPath : '';
  return {
    destination: target,
    type: 'bind',
    source: imageSource ?? (await resolveHostPath(hostPath, `${field}.host_path`)),
    options: ['rbind', propagation, access, ...restrictions],
  };
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
