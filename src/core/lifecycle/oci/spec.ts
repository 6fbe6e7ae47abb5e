import type { ContainerPid, ContainerSpec, MountSpec } from '../../model/container-spec.ts';
import { invalidArgument } from '../../model/errors.ts';
import type { HostFacts } from '../../model/host-facts.ts';
import type { IdRange } from '../../model/id-range.ts';
import type { ImageConfig } from '../../model/image.ts';
import type { OciLinux, OciSpec } from '../../model/oci-runtime.ts';
import type { Rlimit } from '../../model/rlimits.ts';
import type { Placement } from '../../model/sandbox-provider.ts';
import type { PlatformFiles } from '../../model/platform-files.ts';
import type { PodFiles } from '../../model/pod-directories.ts';
import { capabilitySets } from './capabilities.ts';
import { containerDevices } from './devices.ts';
import { containerMounts } from './mounts.ts';
import type { PreparedMounts } from './mounts.ts';
import { containerArgs, containerCwd, containerEnv } from './process.ts';
import { attainableOomScore, limitedResources } from './resources.ts';
import { containerRlimits } from './rlimits.ts';
import { seccompFilter } from './security.ts';
import { checkMapped } from './users.ts';
import type { ContainerUser } from './users.ts';

/** The inputs of a container's `config.json`. */
export interface SpecInputs {
  containerId: string;
  asked: ContainerSpec;
  image: ImageConfig;
  rootfs: string;
  user: ContainerUser;
  placement: Placement;
  /** The PID namespace of another container to join (NamespaceMode TARGET). */
  targetPidNamespace: string | undefined;
  mounts: PreparedMounts;
  host: HostFacts;
  /** -1 for no limit. */
  pidsLimit: number;
  /** Configured resource limits of processes. */
  rlimits: readonly Rlimit[];
  pod: {
    files: PodFiles;
    hostname: string;
    network: 'pod' | 'node';
    ipc: 'pod' | 'node';
    userNamespace: IdRange | undefined;
    annotations: Record<string, string>;
  };
}

/**
 * Builds the OCI configuration of a container.
 * @throws CriError INVALID_ARGUMENT or FAILED_PRECONDITION naming the field of CreateContainerRequest.
 */
export async function ociSpec(files: PlatformFiles, inputs: SpecInputs): Promise<OciSpec> {
  const { asked, image, user, pod, host } = inputs;
  const { security } = asked;
  const { privileged } = security;
  checkUserNamespace(asked.userNamespace, pod.userNamespace);
  if (pod.userNamespace !== undefined) checkMapped(user, pod.userNamespace);
  const capabilities = capabilitySets(security, host.capabilities);
  const podMounts = {
    files: pod.files,
    hostIpc: pod.ipc === 'node',
    hostNetwork: pod.network === 'node',
    userNamespace: pod.userNamespace !== undefined,
  };
  const seccomp = await seccompFilter(files, security.seccomp, capabilities.bounding);
  const devices = await containerDevices(files, asked.devices, privileged);
  return {
    ociVersion: '1.0.2',
    root: { path: inputs.rootfs, readonly: security.readonlyRootfs },
    process: {
      terminal: asked.tty,
      user: { uid: user.uid, gid: user.gid, umask: 0o022, additionalGids: user.supplementalGroups },
      args: containerArgs(asked, image.config),
      env: containerEnv(asked, image.config, { hostname: pod.hostname, home: user.home }),
      cwd: containerCwd(asked.workingDir, image.config),
      capabilities,
      rlimits: containerRlimits(inputs.rlimits, host.hardLimits),
      noNewPrivileges: security.noNewPrivileges,
      oomScoreAdj: attainableOomScore(asked.resources, host),
    },
    mounts: await containerMounts(files, asked, podMounts, inputs.mounts),
    annotations: { ...harmless(asked.annotations), ...pod.annotations },
    linux: {
      namespaces: [
        ...namespaces(asked.pid, inputs.placement, inputs.targetPidNamespace),
        // A container must not see the cgroups of the node. On v1 it has only its own ones mounted.
        ...(host.unifiedCgroups && !privileged ? [{ type: 'cgroup' as const }] : []),
      ],
      ...idMappings(pod.userNamespace),
      devices: devices.devices,
      cgroupsPath: `${inputs.placement.cgroup}/${inputs.containerId}`,
      resources: limitedResources(
        { devices: devices.rules, ...(inputs.pidsLimit > 0 && { pids: { limit: inputs.pidsLimit } }) },
        asked.resources,
        host,
      ),
      rootfsPropagation: rootfsPropagation(asked.mounts),
      ...(!privileged && { maskedPaths: security.maskedPaths, readonlyPaths: security.readonlyPaths }),
      ...(seccomp !== undefined && { seccomp }),
    },
  };
}

/** The mapping is described even when the user namespace is joined by its file: the runtime sets owners of devices and terminals by it. */
function idMappings(range: IdRange | undefined): Pick<OciLinux, 'uidMappings' | 'gidMappings'> {
  if (range === undefined) return {};
  const mapping = { containerID: 0, hostID: range.hostId, size: range.size };
  return { uidMappings: [mapping], gidMappings: [mapping] };
}

/** The user namespace of a container must be that of its pod, or absent. @throws CriError INVALID_ARGUMENT */
function checkUserNamespace(container: ContainerSpec['userNamespace'], pod: IdRange | undefined): void {
  if (container === undefined) return;
  const own = container === 'node' ? undefined : container;
  if (own?.hostId === pod?.hostId && own?.size === pod?.size) return;
  const field = 'config.linux.security_context.namespace_options.userns_options';
  throw invalidArgument(field, "must be the same as the pod's, or absent");
}

/** Annotations without the options of crun and systemd, which could affect more than the container. */
function harmless(annotations: Record<string, string>): Record<string, string> {
  const orders = ['run.oci.', 'org.systemd.property.'];
  return Object.fromEntries(
    Object.entries(annotations).filter(([key]) => !orders.some((prefix) => key.startsWith(prefix))),
  );
}

function namespaces(pid: ContainerPid, placement: Placement, target: string | undefined): OciLinux['namespaces'] {
  const shared = placement.namespaces;
  const list: OciLinux['namespaces'] = [{ type: 'mount' }];
  if (shared.user !== undefined) list.push({ type: 'user', path: shared.user });
  if (shared.network !== undefined) list.push({ type: 'network', path: shared.network });
  if (shared.ipc !== undefined) list.push({ type: 'ipc', path: shared.ipc });
  if (shared.uts !== undefined) list.push({ type: 'uts', path: shared.uts });
  if (pid === 'container') list.push({ type: 'pid' });
  if (typeof pid === 'object' && target !== undefined) list.push({ type: 'pid', path: target });
  if (pid === 'pod') {
    if (shared.pid === undefined) {
      const problem = 'POD requires a pod with namespace_options.pid POD; use CONTAINER';
      throw invalidArgument('config.linux.security_context.namespace_options.pid', problem);
    }
    list.push({ type: 'pid', path: shared.pid });
  }
  return list;
}

/** Mount propagation with the node requires a root that is shared or slave (mount_namespaces(7)). */
function rootfsPropagation(mounts: readonly MountSpec[]): string {
  const wanted = mounts.map(({ propagation }) => propagation);
  if (wanted.includes('rshared')) return 'rshared';
  return wanted.includes('rslave') ? 'rslave' : 'rprivate';
}
