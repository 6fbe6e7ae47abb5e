import { IOPrioClass, LinuxSchedulerPolicy } from '../../../../api/gen/nri.ts';
import type { ContainerAdjustment, LinuxContainerAdjustment } from '../../../../api/gen/nri.ts';
import { hookNames } from '../../../core/model/container-devices.ts';
import { invalidArgument, unimplemented } from '../../../core/model/errors.ts';
import { fromLinuxResources } from '../map/resources.ts';
import { parseKey } from './removal.ts';

/** The OCI runtime. */
export interface RuntimeVersion {
  name: string;
  version: string;
}

/** First versions of runtimes with a field of the OCI configuration; older ones ignore it. */
const SINCE: Record<'ioPriority' | 'scheduler', Record<string, string>> = {
  ioPriority: { crun: '1.8.7', runc: '1.2.0' },
  scheduler: { crun: '1.8.5', runc: '1.2.0' },
};
const NAMESPACES = ['pid', 'network', 'ipc', 'uts', 'cgroup', 'time'];
/** An absolute path without parts that lead elsewhere. */
const ABSOLUTE = /^\/(?!.*(^|\/)\.{1,2}(\/|$))[^\0]*$/;

/**
 * Refuses what a plugin wants and cannot be done, instead of leaving it out.
 * @param plugin its name, for errors. @param runtime asked only where it matters.
 * @throws CriError UNIMPLEMENTED, INVALID_ARGUMENT naming the plugin and the field.
 */
export async function checkSupported(
  wanted: ContainerAdjustment,
  plugin: string,
  runtime: () => Promise<RuntimeVersion>,
): Promise<void> {
  const of = `NRI plugin ${plugin}: adjust`;
  for (const { destination } of wanted.mounts) {
    const { key } = parseKey(destination);
    if (!ABSOLUTE.test(key) || /^\/+$/.test(key))
      throw invalidArgument(`${of}.mounts`, `${JSON.stringify(destination)} must be an absolute path below the root`);
  }
  for (const { key } of wanted.env)
    if (parseKey(key).key === '' || key.includes('=') || key.includes('\0'))
      throw invalidArgument(`${of}.env`, `${JSON.stringify(key)} is no name of a variable`);
  for (const { path } of hookNames.flatMap((name) => wanted.hooks?.[name] ?? []))
    if (!ABSOLUTE.test(path)) throw invalidArgument(`${of}.hooks`, `${JSON.stringify(path)} must be an absolute path`);
  for (const { type, soft, hard } of wanted.rlimits)
    if (!/^RLIMIT_[A-Z]+$/.test(type) || soft > hard)
      throw invalidArgument(
        `${of}.rlimits`,
        `${JSON.stringify(type)} must be as in RLIMIT_NOFILE, and soft at most hard`,
      );
  if (wanted.linux !== undefined) await checkLinux(wanted.linux, `${of}.linux`, runtime);
}

async function checkLinux(
  wanted: LinuxContainerAdjustment,
  of: string,
  runtime: () => Promise<RuntimeVersion>,
): Promise<void> {
  fromLinuxResources(wanted.resources, `${of}.resources`);
  // The server finds a container's processes by its cgroup below its pod's.
  if (wanted.cgroupsPath !== '') throw unimplemented(`${of}.cgroups_path: another cgroup than one below the pod's`);
  if (wanted.rdt !== undefined) throw unimplemented(`${of}.rdt: Intel RDT`);
  if (wanted.memoryPolicy !== undefined) throw unimplemented(`${of}.memory_policy: memory policies`);
  if (Object.keys(wanted.netDevices).length > 0) throw unimplemented(`${of}.net_devices: moving network devices`);
  for (const { type } of wanted.namespaces) {
    const { key } = parseKey(type);
    if (!NAMESPACES.includes(key))
      throw unimplemented(`${of}.namespaces: changing the namespace ${JSON.stringify(key)}`);
  }
  for (const { path, type } of wanted.devices) {
    const { key, isRemoval } = parseKey(path);
    if (!ABSOLUTE.test(key)) throw invalidArgument(`${of}.devices`, `${JSON.stringify(path)} must be an absolute path`);
    if (!isRemoval && !/^[bcup]$/.test(type))
      throw invalidArgument(`${of}.devices`, `${key}: type must be b, c, u or p`);
  }
  const score = wanted.oomScoreAdj?.value ?? 0n;
  if (score < -1000n || score > 1000n) throw invalidArgument(`${of}.oom_score_adj`, 'must be from -1000 to 1000');
  for (const { args } of wanted.seccompPolicy?.syscalls ?? [])
    for (const { value, valueTwo } of args)
      if (value > BigInt(Number.MAX_SAFE_INTEGER) || valueTwo > BigInt(Number.MAX_SAFE_INTEGER))
        throw unimplemented(`${of}.seccomp_policy: an argument above 2^53`);
  if (wanted.ioPriority !== undefined && wanted.ioPriority.class !== IOPrioClass.IOPRIO_CLASS_NONE)
    await checkRuntime('ioPriority', `${of}.io_priority`, runtime);
  if (wanted.scheduler !== undefined && wanted.scheduler.policy !== LinuxSchedulerPolicy.SCHED_NONE)
    await checkRuntime('scheduler', `${of}.scheduler`, runtime);
}

async function checkRuntime(
  key: keyof typeof SINCE,
  field: string,
  runtime: () => Promise<RuntimeVersion>,
): Promise<void> {
  const { name, version } = await runtime();
  const since = SINCE[key][name];
  if (since !== undefined && isAtLeast(version, since)) return;
  const wanted = since === undefined ? 'crun or runc is' : `${name} ${since} or later is`;
  throw unimplemented(`${field} with ${name} ${version} (${wanted} needed)`);
}

function isAtLeast(version: string, since: string): boolean {
  const [have, want] = [version, since].map((text) => text.split('.').map((part) => Number.parseInt(part, 10) || 0));
  for (let index = 0; index < 3; index += 1) {
    const difference = (have?.[index] ?? 0) - (want?.[index] ?? 0);
    if (difference !== 0) return difference > 0;
  }
  return true;
}
