import { posix } from 'node:path';
import type { ContainerSpec, MountSpec } from '../../model/container-spec.ts';
import { CriError, invalidArgument } from '../../model/errors.ts';
import type { OciMount } from '../../model/oci-runtime.ts';
import type { MountFacts, PlatformFiles } from '../../model/platform-files.ts';
import type { PodFiles } from '../../model/pod-directories.ts';
import { messageOf } from '../../../utils/errors.ts';
import { checkIdmapSupport, mountMappings } from './idmapped-mounts.ts';
import { checkKernelTarget, isKernelTarget } from './kernel-targets.ts';

type MountFiles = Pick<PlatformFiles, 'resolve' | 'makeDirectory' | 'mountOf' | 'idmapProblems'>;

/** The prepared parts of a container's mounts. */
export interface PreparedMounts {
  /** Targets of the request's mounts, in its order. */
  targets: readonly string[];
  /** Volumes that the image declares. */
  declared: readonly OciMount[];
  /** Paths of the content of image volumes, by the index of the mount in the request. */
  images: ReadonlyMap<number, string>;
  /** Host paths that are refused while they do not exist, instead of created as directories. */
  absentSourcesToReject: readonly string[];
}

/**
 * All mounts of a container, in order: the kernel's filesystems; then, parent directories before their content, the pod's files
 * unless the request replaces them, the volumes that the image declares, and the mounts of the request.
 * @throws CriError INVALID_ARGUMENT; FAILED_PRECONDITION for a filesystem without idmapped mounts.
 */
export async function containerMounts(
  files: MountFiles,
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
      const from = { image, absentSourcesToReject: prepared.absentSourcesToReject };
      const made = await requestedMount(files, mount, field, target, from);
      // The files of an image volume already belong to the ids of the pod's user namespace.
      return image === undefined ? { ...made, ...mappings } : made;
    }),
  );
  await checkIdmapSupport(files, mounts, wanted);
  const binds = [
    // A bind mount that is made writable again has only the restrictions that are listed.
    ...bind(shm, '/dev/shm', false).map((mount) => ({
      ...mount,
      options: [...mount.options, 'nosuid', 'nodev', 'noexec'],
    })),
    ...bind(pod.files.resolvConf, '/etc/resolv.conf', readonlyRootfs),
    ...bind(pod.files.hostname, '/etc/hostname', readonlyRootfs),
    ...bind(pod.files.hosts, '/etc/hosts', readonlyRootfs),
    ...prepared.declared,
    ...wanted,
  ];
  // In the opposite order a directory would hide the mounts in it. The sort is stable.
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
  // Only the owner of the network namespace may mount its sysfs (user_namespaces(7)).
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

/** @param from.image path of the content of an image volume; undefined for a mount of a host path. */
async function requestedMount(
  files: MountFiles,
  { source, propagation, access, restrictions }: MountSpec,
  field: string,
  target: string,
  { image, absentSourcesToReject }: { image: string | undefined; absentSourcesToReject: readonly string[] },
): Promise<OciMount> {
  const mount = (from: string, kept: readonly string[]): OciMount => ({
    destination: target,
    type: 'bind',
    source: from,
    options: ['rbind', propagation, access, ...new Set([...kept, ...restrictions])],
  });
  if (image !== undefined) {
    checkKernelTarget(target, 'image', `${field}.container_path`);
    return mount(image, []);
  }
  // A new directory may not be mounted over /proc.
  const rejected = isKernelTarget(target) ? 'all' : absentSourcesToReject.map(plain);
  const path = await hostPath(files, 'hostPath' in source ? source.hostPath : '', `${field}.host_path`, rejected);
  const on = await files.mountOf(path);
  checkKernelTarget(target, on.type, `${field}.container_path`);
  checkPropagation(propagation, on, field);
  // The runtime remounts with the listed options only: keep the restrictions of the node.
  return mount(path, on.restrictions);
}

/** As in containerd and CRI-O: without a peer or a master the propagation would have no effect. */
function checkPropagation(propagation: MountSpec['propagation'], on: MountFacts, field: string): void {
  const where = `the mount at ${on.mountPoint} on the node`;
  if (propagation === 'rshared' && !on.shared) {
    throw invalidArgument(`${field}.propagation`, `must not be BIDIRECTIONAL: ${where} is not shared`);
  }
  if (propagation === 'rslave' && !on.shared && !on.slave) {
    throw invalidArgument(
      `${field}.propagation`,
      `must not be HOST_TO_CONTAINER: ${where} is neither shared nor a slave`,
    );
  }
}

/**
 * The kernel follows links at mount time; resolving them here results in a clear error. A missing path is created as a
 * directory, as in containerd and CRI-O, except for the paths in `rejected`.
 */
async function hostPath(
  files: MountFiles,
  path: string,
  field: string,
  rejected: readonly string[] | 'all',
): Promise<string> {
  try {
    const resolved = await files.resolve(path);
    if (resolved !== undefined) return resolved;
    if (rejected === 'all' || rejected.includes(plain(path))) throw new Error('it does not exist');
    await files.makeDirectory(path);
    return (await files.resolve(path)) ?? path;
  } catch (error) {
    const problem = `${JSON.stringify(path)} is not accessible: ${messageOf(error)}`;
    if (error instanceof CriError) throw new CriError(error.code, `${field}: ${problem}`, { cause: error });
    throw invalidArgument(field, problem);
  }
}

/** An absolute path in one spelling: without `.`, `..`, doubled or final slashes. */
function plain(path: string): string {
  return posix.join(path, '/').slice(0, -1);
}
