import { IOPrioClass, LinuxSchedulerFlag, LinuxSchedulerPolicy } from '../../../../api/gen/nri.ts';
import type {
  ContainerAdjustment,
  LinuxDevice,
  LinuxIOPriority,
  LinuxScheduler,
  LinuxSeccomp,
  Mount,
} from '../../../../api/gen/nri.ts';
import { hookNames } from '../../../core/model/container-devices.ts';
import { placeMount } from '../../../core/model/mount-order.ts';
import type { OciDevice, OciLinux, OciProcess, OciSpec } from '../../../core/model/oci-runtime.ts';
import { defined } from '../../../utils/object.ts';
import { NO_LIMIT } from '../map/container.ts';
import { parseKey, splitChanges } from './removal.ts';

/**
 * An OCI configuration with what plugins want to change, but for limits and CDI devices. The adjustment is supported.
 * @param spec stays as it is.
 */
export function applyAdjustment(spec: OciSpec, adjustment: ContainerAdjustment): OciSpec {
  const changed = structuredClone(spec);
  const { annotations, args, hooks, linux, mounts, rlimits } = adjustment;
  changed.annotations = changedMap(changed.annotations, annotations);
  for (const mount of mounts) changeMount(changed, mount);
  changed.process.env = changedEnv(changed.process.env, adjustment.env);
  if (args.length > 0) changed.process.args = args;
  for (const name of hookNames) {
    const added = (hooks?.[name] ?? []).map(({ path, args: argv, env, timeout }) => ({
      path,
      ...(argv.length > 0 && { args: argv }),
      ...(env.length > 0 && { env }),
      ...(timeout !== undefined && { timeout: Number(timeout.value) }),
    }));
    if (added.length === 0) continue;
    changed.hooks ??= {};
    changed.hooks[name] = [...(changed.hooks[name] ?? []), ...added];
  }
  for (const { type, soft, hard } of rlimits) {
    const others = (changed.process.rlimits ?? []).filter((one) => one.type !== type);
    changed.process.rlimits = [...others, { type, soft: fromLimit(soft), hard: fromLimit(hard) }];
  }
  if (linux === undefined) return changed;
  for (const device of linux.devices) changeDevice(changed.linux, device);
  for (const { allow, type, major, minor, access } of linux.resources?.devices ?? []) {
    const numbers = defined({ major: major && Number(major.value), minor: minor && Number(minor.value) });
    (changed.linux.resources.devices ??= []).push({ allow, ...(type !== '' && { type }), ...numbers, access });
  }
  for (const { type, path } of linux.namespaces) {
    const { key, isRemoval } = parseKey(type);
    changed.linux.namespaces = changed.linux.namespaces.filter((one) => one.type !== key);
    if (!isRemoval) changed.linux.namespaces.push({ type: key as NamespaceType, ...(path !== '' && { path }) });
  }
  const sysctl = changedMap(changed.linux.sysctl, linux.sysctl);
  if (Object.keys(sysctl).length > 0) changed.linux.sysctl = sysctl;
  if (linux.seccompPolicy !== undefined) changed.linux.seccomp = fromSeccomp(linux.seccompPolicy);
  if (linux.ioPriority !== undefined) setIoPriority(changed.process, linux.ioPriority);
  if (linux.scheduler !== undefined) setScheduler(changed.process, linux.scheduler);
  return changed;
}

type NamespaceType = OciLinux['namespaces'][number]['type'];

function changedMap(before: Record<string, string> = {}, changes: Record<string, string>): Record<string, string> {
  const now = new Map(Object.entries(before));
  const { removed, added } = splitChanges(Object.entries(changes), ([key]) => key);
  for (const key of removed.keys()) now.delete(key);
  for (const { entry } of added) now.set(...entry);
  return Object.fromEntries(now);
}

/** Variables that are replaced stay where they are. */
function changedEnv(before: readonly string[], changes: ContainerAdjustment['env']): string[] {
  const { removed, added } = splitChanges(changes, ({ key }) => key);
  const latest = new Map(added.map(({ key, entry }) => [key, `${key}=${entry.value}`]));
  const kept = before.flatMap((variable) => {
    const name = variable.split('=', 1)[0] ?? '';
    const replacement = latest.get(name);
    latest.delete(name);
    if (replacement !== undefined) return [replacement];
    return removed.has(name) ? [] : [variable];
  });
  return [...kept, ...latest.values()];
}

function changeMount(spec: OciSpec, { destination, type, source, options }: Mount): void {
  const { key, isRemoval } = parseKey(destination);
  const target = `/${key.split('/').filter(Boolean).join('/')}`;
  if (isRemoval) {
    spec.mounts = spec.mounts.filter((one) => one.destination !== target);
    return;
  }
  const isBound = options.includes('bind') || options.includes('rbind');
  const binding = type === 'bind' && !isBound ? ['rbind'] : [];
  const mount = { destination: target, type: type || 'bind', source, options: [...binding, ...options] };
  spec.mounts = placeMount(spec.mounts, mount);
  // Propagation with the node requires a root that is shared or slave (mount_namespaces(7)).
  if (options.includes('rshared') || options.includes('shared')) spec.linux.rootfsPropagation = 'rshared';
  const isSlave = options.includes('rslave') || options.includes('slave');
  if (isSlave && spec.linux.rootfsPropagation !== 'rshared') spec.linux.rootfsPropagation = 'rslave';
}

function changeDevice(linux: OciLinux, { path, type, major, minor, fileMode, uid, gid }: LinuxDevice): void {
  const { key, isRemoval } = parseKey(path);
  linux.devices = (linux.devices ?? []).filter((one) => one.path !== key);
  if (isRemoval) return;
  const kind: OciDevice['type'] = type === 'b' || type === 'p' ? type : 'c';
  const numbers = { major: Number(major), minor: Number(minor) };
  const chosen = defined({ fileMode: fileMode?.value, uid: uid?.value, gid: gid?.value });
  linux.devices.push({ path: key, type: kind, ...numbers, ...chosen });
  if (kind !== 'p') (linux.resources.devices ??= []).push({ allow: true, type: kind, ...numbers, access: 'rwm' });
}

function fromSeccomp({
  defaultAction,
  defaultErrno,
  architectures,
  flags,
  listenerPath,
  listenerMetadata,
  syscalls,
}: LinuxSeccomp): object {
  return {
    defaultAction,
    ...defined({ defaultErrnoRet: defaultErrno?.value }),
    architectures,
    ...(flags.length > 0 && { flags }),
    ...(listenerPath !== '' && { listenerPath }),
    ...(listenerMetadata !== '' && { listenerMetadata }),
    syscalls: syscalls.map(({ names, action, errnoRet, args }) => ({
      names,
      action,
      ...defined({ errnoRet: errnoRet?.value }),
      ...(args.length > 0 && {
        args: args.map(({ index, value, valueTwo, op }) => ({
          index,
          value: Number(value),
          valueTwo: Number(valueTwo),
          op,
        })),
      }),
    })),
  };
}

function setIoPriority(process: OciProcess, { class: wanted, priority }: LinuxIOPriority): void {
  delete process.ioPriority;
  const name = keyOf(IOPrioClass, wanted);
  if (wanted !== IOPrioClass.IOPRIO_CLASS_NONE && name !== undefined) process.ioPriority = { class: name, priority };
}

function setScheduler(process: OciProcess, wanted: LinuxScheduler): void {
  delete process.scheduler;
  const policy = keyOf(LinuxSchedulerPolicy, wanted.policy);
  if (wanted.policy === LinuxSchedulerPolicy.SCHED_NONE || policy === undefined) return;
  const { nice, priority, runtime, deadline, period } = wanted;
  const flags = wanted.flags.flatMap((flag) => keyOf(LinuxSchedulerFlag, flag) ?? []);
  process.scheduler = {
    policy,
    ...(nice !== 0 && { nice }),
    ...(priority !== 0 && { priority }),
    ...(flags.length > 0 && { flags }),
    ...(runtime !== 0n && { runtime: Number(runtime) }),
    ...(deadline !== 0n && { deadline: Number(deadline) }),
    ...(period !== 0n && { period: Number(period) }),
  };
}

function keyOf(values: Readonly<Record<string, number>>, value: number): string | undefined {
  return Object.entries(values).find(([, number]) => number === value)?.[0];
}

function fromLimit(value: bigint): number {
  return value >= NO_LIMIT || value > BigInt(Number.MAX_SAFE_INTEGER) ? Infinity : Number(value);
}
