import {
  Container,
  ContainerState,
  Hooks,
  LinuxContainer,
  SecurityProfile_ProfileType,
} from '../../../../api/gen/nri.ts';
import type { LinuxDevice, LinuxSeccomp, Mount, SecurityProfile } from '../../../../api/gen/nri.ts';
import type { ContainerPhase, ContainerRecord } from '../../../core/model/container.ts';
import { hookNames } from '../../../core/model/container-devices.ts';
import type { OciDevice, OciMount, OciSpec } from '../../../core/model/oci-runtime.ts';
import type { SeccompProfile } from '../../../core/model/security.ts';
import { defined } from '../../../utils/object.ts';
import { toLinuxResources } from './resources.ts';

const STATE: Record<ContainerPhase, ContainerState> = {
  creating: ContainerState.CONTAINER_UNKNOWN,
  created: ContainerState.CONTAINER_CREATED,
  starting: ContainerState.CONTAINER_CREATED,
  running: ContainerState.CONTAINER_RUNNING,
  exited: ContainerState.CONTAINER_STOPPED,
};

/** A container as plugins see it. @param spec its OCI configuration; undefined when it is gone. */
export function toContainer(record: ContainerRecord, spec: OciSpec | undefined): Container {
  const { metadata, labels, annotations, cdiDevices, image } = record.spec;
  const [, digest = ''] = /@(sha256:[0-9a-f]{64})$/.exec(record.imageRef) ?? [];
  return Container.create({
    id: record.id,
    podSandboxId: record.sandboxId,
    name: metadata.name,
    state: STATE[record.phase],
    labels,
    annotations,
    ...(spec !== undefined && configured(spec)),
    linux: toLinuxContainer(record, spec),
    createdAt: record.createdAt,
    startedAt: record.startedAt,
    finishedAt: record.finishedAt,
    exitCode: record.exitCode,
    statusReason: record.reason,
    statusMessage: record.message,
    CDIDevices: cdiDevices.map((name) => ({ name })),
    image: { name: image.asked || image.name, digest, configDigest: record.imageId },
  });
}

function configured({ process, mounts, hooks }: OciSpec): Partial<Container> {
  const { uid, gid, additionalGids = [] } = process.user;
  return {
    args: process.args,
    env: process.env,
    mounts: mounts.map(toMount),
    hooks: Hooks.create(
      Object.fromEntries(
        hookNames.map((name) => [
          name,
          (hooks?.[name] ?? []).map(({ path, args = [], env = [], timeout }) => ({
            path,
            args,
            env,
            timeout: timeout === undefined ? undefined : { value: BigInt(timeout) },
          })),
        ]),
      ),
    ),
    rlimits: (process.rlimits ?? []).map(({ type, soft, hard }) => ({
      type,
      soft: toLimit(soft),
      hard: toLimit(hard),
    })),
    user: { uid, gid, additionalGids },
  };
}

function toLinuxContainer(record: ContainerRecord, spec: OciSpec | undefined): LinuxContainer {
  const resources = toLinuxResources(record.spec.resources);
  const seccompProfile = toSecurityProfile(record.spec.security.seccomp);
  if (spec === undefined) return LinuxContainer.create({ resources, seccompProfile });
  const { linux, process } = spec;
  const { devices: rules = [], pids } = linux.resources;
  if (pids !== undefined) resources.pids ??= { limit: BigInt(pids.limit) };
  resources.devices = rules.map(({ allow, type = 'a', major, minor, access = '' }) => ({
    allow,
    type,
    major: major === undefined ? undefined : { value: BigInt(major) },
    minor: minor === undefined ? undefined : { value: BigInt(minor) },
    access,
  }));
  return LinuxContainer.create({
    namespaces: linux.namespaces.map(({ type, path = '' }) => ({ type, path })),
    devices: (linux.devices ?? []).map(toDevice),
    resources,
    ...defined({ oomScoreAdj: process.oomScoreAdj === undefined ? undefined : { value: BigInt(process.oomScoreAdj) } }),
    cgroupsPath: linux.cgroupsPath,
    seccompProfile,
    ...(linux.seccomp !== undefined && { seccompPolicy: toSeccomp(linux.seccomp) }),
    sysctl: linux.sysctl ?? {},
  });
}

function toMount({ destination, type, source, options }: OciMount): Mount {
  return { destination, type, source, options };
}

function toDevice({ path, type, major, minor, fileMode, uid, gid }: OciDevice): LinuxDevice {
  const wrapped = (value: number | undefined) => (value === undefined ? undefined : { value });
  return {
    path,
    type,
    major: BigInt(major),
    minor: BigInt(minor),
    fileMode: wrapped(fileMode),
    uid: wrapped(uid),
    gid: wrapped(gid),
  };
}

function toSecurityProfile(profile: SeccompProfile): SecurityProfile {
  switch (profile.type) {
    case 'unconfined':
      return { profileType: SecurityProfile_ProfileType.UNCONFINED, localhostRef: '' };
    case 'runtime-default':
      return { profileType: SecurityProfile_ProfileType.RUNTIME_DEFAULT, localhostRef: '' };
    case 'file':
      return { profileType: SecurityProfile_ProfileType.LOCALHOST, localhostRef: profile.path };
  }
}

/** The filter's rules in NRI's form; a document of the node's own has no promise about its types. */
function toSeccomp(filter: object): LinuxSeccomp | undefined {
  const { defaultAction, defaultErrnoRet, architectures, flags, syscalls } = filter as Record<string, unknown>;
  if (typeof defaultAction !== 'string') return undefined;
  return {
    defaultAction,
    defaultErrno: typeof defaultErrnoRet === 'number' ? { value: whole(defaultErrnoRet) % 4096 } : undefined,
    architectures: strings(architectures),
    flags: strings(flags),
    listenerPath: '',
    listenerMetadata: '',
    syscalls: objects(syscalls).map(({ names, action, errnoRet, args }) => ({
      names: strings(names),
      action: String(action),
      errnoRet: typeof errnoRet === 'number' ? { value: whole(errnoRet) % 4096 } : undefined,
      args: objects(args).map(({ index, value, valueTwo, op }) => ({
        index: Math.min(whole(index), 5),
        value: BigInt(whole(value)),
        valueTwo: BigInt(whole(valueTwo)),
        op: String(op),
      })),
    })),
  };
}

function strings(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : [];
}

function objects(value: unknown): Record<string, unknown>[] {
  if (!Array.isArray(value)) return [];
  return value.filter((item): item is Record<string, unknown> => typeof item === 'object' && item !== null);
}

function whole(value: unknown): number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : 0;
}

/** RLIM_INFINITY of the kernel. */
export const NO_LIMIT = 2n ** 64n - 1n;

function toLimit(value: number): bigint {
  return value === Infinity ? NO_LIMIT : BigInt(value);
}
