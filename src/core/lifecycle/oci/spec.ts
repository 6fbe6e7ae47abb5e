import { NamespaceMode } from '../../../../api/gen/cri.ts';
import type { ContainerConfig } from '../../../../api/gen/cri.ts';
import { invalidArgument } from '../../model/errors.ts';
import type { HostFacts } from '../../model/host-facts.ts';
import type { IdRange } from '../../model/id-range.ts';
import type { ImageConfig } from '../../model/image.ts';
import type { OciLinux, OciSpec } from '../../model/oci-runtime.ts';
import type { Rlimit } from '../../model/rlimits.ts';
import type { NamespaceScope, Placement } from '../../model/sandbox-provider.ts';
import type { PodFiles } from '../../model/pod-directories.ts';
import { checkContainerUserNamespace } from '../pods/user-namespace.ts';
import { capabilitySets } from './capabilities.ts';
import { containerDevices } from './devices.ts';
import { containerMounts } from './mounts.ts';
import type { PreparedMounts } from './mounts.ts';
import { containerArgs, containerCwd, containerEnv } from './process.ts';
import { ociResources } from './resources.ts';
import { containerRlimits } from './rlimits.ts';
import { refuseUnbuilt, seccompFilter } from './security.ts';
import { checkMapped } from './users.ts';
import type { ContainerUser } from './users.ts';

/** Everything a container's `config.json` is made of. */
export interface SpecInputs {
  containerId: string;
  config: ContainerConfig;
  image: ImageConfig;
  rootfs: string;
  user: ContainerUser;
  placement: Placement;
  /** The PID namespace to join when the request asks for another container's (NamespaceMode TARGET). */
  targetPidNamespace: string | undefined;
  mounts: PreparedMounts;
  /** undefined: confined by none. */
  apparmorProfile: string | undefined;
  host: HostFacts;
  /** -1 for no limit. */
  pidsLimit: number;
  /** Limits of processes that the configuration asks for. */
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
 * Builds the OCI configuration of a container from CRI's.
 * @throws CriError INVALID_ARGUMENT or UNIMPLEMENTED naming the field of CreateContainerRequest.
 */
export async function containerSpec(inputs: SpecInputs): Promise<OciSpec> {
  const { config, image, user, pod, host } = inputs;
  const context = config.linux?.securityContext;
  const privileged = context?.privileged ?? false;
  refuseUnbuilt(context);
  checkContainerUserNamespace(context?.namespaceOptions?.usernsOptions, pod.userNamespace);
  const pid = pidScope(config);
  const ids = idMappings(inputs.pod.userNamespace);
  if (inputs.pod.userNamespace !== undefined) checkMapped(user, inputs.pod.userNamespace);
  const capabilities = capabilitySets(context?.capabilities, { privileged, available: host.capabilities });
  const podMounts = {
    files: pod.files,
    hostIpc: pod.ipc === 'node',
    hostNetwork: pod.network === 'node',
    userNamespace: pod.userNamespace !== undefined,
  };
  const seccomp = await seccompFilter(context, capabilities.bounding);
  const devices = await containerDevices(config.devices, privileged);
  const resources = ociResources(config.linux?.resources, 'config.linux.resources', host);
  const oomScoreAdj = Number(config.linux?.resources?.oomScoreAdj ?? 0n);
  if (oomScoreAdj < -1000 || oomScoreAdj > 1000) {
    throw invalidArgument('config.linux.resources.oom_score_adj', 'must be from -1000 to 1000');
  }
  return {
    ociVersion: '1.0.2',
    root: { path: inputs.rootfs, readonly: context?.readonlyRootfs ?? false },
    process: {
      terminal: config.tty,
      user: { uid: user.uid, gid: user.gid, umask: 0o022, additionalGids: user.supplementalGroups },
      args: containerArgs(config, image.config),
      env: containerEnv(config, image.config, { hostname: pod.hostname, home: user.home }),
      cwd: containerCwd(config, image.config),
      capabilities,
      rlimits: containerRlimits(inputs.rlimits, host.hardLimits),
      noNewPrivileges: context?.noNewPrivs ?? false,
      ...(inputs.apparmorProfile !== undefined && { apparmorProfile: inputs.apparmorProfile }),
      // Lowering it below the own value takes CAP_SYS_RESOURCE: the nearest possible value is used.
      oomScoreAdj: Math.max(oomScoreAdj, host.minOomScoreAdj),
    },
    mounts: await containerMounts(config, podMounts, inputs.mounts),
    annotations: { ...pod.annotations, ...config.annotations },
    linux: {
      namespaces: [
        ...namespaces(pid, inputs.placement, inputs.targetPidNamespace),
        // The cgroups of the node are not a container's to see. On v1 a container has its own ones mounted anyway.
        ...(host.unifiedCgroups && !privileged ? [{ type: 'cgroup' as const }] : []),
      ],
      ...ids,
      devices: devices.devices,
      cgroupsPath: `${inputs.placement.cgroup}/${inputs.containerId}`,
      resources: {
        ...resources,
        devices: devices.rules,
        ...(inputs.pidsLimit > 0 && { pids: { limit: inputs.pidsLimit } }),
      },
      rootfsPropagation: rootfsPropagation(config),
      ...(!privileged && { maskedPaths: context?.maskedPaths ?? [], readonlyPaths: context?.readonlyPaths ?? [] }),
      ...(seccomp !== undefined && { seccomp }),
    },
  };
}

/** A user namespace that is joined by its file is described all the same: the runtime gives devices and terminals owners by it. */
function idMappings(range: IdRange | undefined): Pick<OciLinux, 'uidMappings' | 'gidMappings'> {
  if (range === undefined) return {};
  const mapping = { containerID: 0, hostID: range.hostId, size: range.size };
  return { uidMappings: [mapping], gidMappings: [mapping] };
}

/** CRI NamespaceOption.pid of the container; its zero value is POD. */
function pidScope(config: ContainerConfig): NamespaceScope | 'target' {
  const options = config.linux?.securityContext?.namespaceOptions;
  const mode = options?.pid ?? NamespaceMode.POD;
  if (mode === NamespaceMode.TARGET) return 'target';
  return mode === NamespaceMode.NODE ? 'node' : mode === NamespaceMode.CONTAINER ? 'container' : 'pod';
}

function namespaces(
  pid: NamespaceScope | 'target',
  placement: Placement,
  target: string | undefined,
): OciLinux['namespaces'] {
  const shared = placement.namespaces;
  const list: OciLinux['namespaces'] = [{ type: 'mount' }];
  if (shared.user !== undefined) list.push({ type: 'user', path: shared.user });
  if (shared.network !== undefined) list.push({ type: 'network', path: shared.network });
  if (shared.ipc !== undefined) list.push({ type: 'ipc', path: shared.ipc });
  if (shared.uts !== undefined) list.push({ type: 'uts', path: shared.uts });
  if (pid === 'container') list.push({ type: 'pid' });
  if (pid === 'target' && target !== undefined) list.push({ type: 'pid', path: target });
  if (pid === 'pod') {
    if (shared.pid === undefined) {
      const problem = 'POD needs a pod whose own namespace_options.pid is POD too; ask for CONTAINER';
      throw invalidArgument('config.linux.security_context.namespace_options.pid', problem);
    }
    list.push({ type: 'pid', path: shared.pid });
  }
  return list;
}

/** A mount that is to be shared with the node needs a root that is shared or slave (mount_namespaces(7)). */
function rootfsPropagation(config: ContainerConfig): string {
  const wanted = config.mounts.map((mount) => mount.propagation);
  if (wanted.includes(2)) return 'rshared';
  return wanted.includes(1) ? 'rslave' : 'rprivate';
}
