import { mkdir, rm, statfs, writeFile } from 'node:fs/promises';
import { CriError, StatusCode, invalidArgument } from '../../core/model/errors.ts';
import { isErrno } from '../../utils/errors.ts';
import type { SandboxSpec } from '../../core/model/sandbox-provider.ts';
import { sysctlPath } from '../../core/model/sysctl.ts';
import { CommandError, run } from '../../host/processes/run.ts';
import { pinOwnedNamespaces } from './owned-namespaces.ts';

/** `f_type` of nsfs, the file system of namespace files (linux/magic.h). */
const nsfsMagic = 0x6e736673;

export type PinnedNamespace = 'net' | 'ipc' | 'uts' | 'user';

/**
 * Runs inside the fresh namespaces. A write to /proc/sys goes to the writer's own namespaces. Exit 3 means that the
 * kernel refused a parameter.
 */
const setUp = `set -e
[ -z "$1" ] || printf %s "$1" >/proc/sys/kernel/hostname
if [ "$2" = net ]; then ip link set dev lo up; fi
shift 2
while [ "$#" -gt 0 ]; do
  printf %s "$2" >"/proc/sys/$1" || exit 3
  shift 2
done
`;

/** The namespaces a sandbox owns: which are pinned, and the file of each below `<runDir>/ns`. */
export function pinsOf(spec: SandboxSpec): Map<PinnedNamespace, string> {
  const names: PinnedNamespace[] = [];
  if (spec.network === 'pod') names.push('net', 'uts');
  if (spec.ipc === 'pod') names.push('ipc');
  if (spec.userNamespace !== undefined) names.push('user');
  return new Map(names.map((name) => [name, `${spec.runDir}/ns/${name}`]));
}

/**
 * Makes the sandbox's namespaces, each kept alive by a bind mount on a file and by no process; sets host name, loopback and
 * kernel parameters inside. The spec has passed {@link checkSandboxSpec}. Undo with {@link unpinNamespaces}.
 * @throws CriError INVALID_ARGUMENT when the kernel refuses a parameter, INTERNAL with the tool's words otherwise.
 */
export async function pinNamespaces(spec: SandboxSpec): Promise<void> {
  const pins = pinsOf(spec);
  await mkdir(`${spec.runDir}/ns`, { recursive: true, mode: 0o700 });
  if (pins.size === 0) return;
  for (const file of pins.values()) await writeFile(file, '', { mode: 0o400 });
  const flags = [...pins].map(([name, file]) => `--${name}=${file}`);
  const sysctls = Object.entries(spec.sysctls).flatMap(([name, value]) => [sysctlPath(name), value]);
  const hostname = pins.has('uts') ? spec.hostname : '';
  const inside = (name: string) => [
    '/bin/sh',
    '-c',
    setUp,
    'sh',
    name,
    spec.network === 'pod' ? 'net' : '',
    ...sysctls,
  ];
  try {
    // Only the host's root may write a host name to /proc.
    if (spec.userNamespace !== undefined) await pinOwnedNamespaces(spec.userNamespace, pins, hostname, inside(''));
    else await run('unshare', [...flags, '--', ...inside(hostname)], { timeoutMs: 30_000 });
  } catch (cause) {
    if (!(cause instanceof CommandError)) throw cause;
    if (cause.exitCode === 3) {
      throw invalidArgument(
        'linux.sysctls',
        `the kernel refused one of ${Object.keys(spec.sysctls).join(', ')}: ${cause.message}`,
      );
    }
    throw new CriError(StatusCode.INTERNAL, `cannot make the pod's namespaces: ${cause.message}`, { cause });
  }
}

/** Whether every namespace of the sandbox is pinned. */
export async function namespacesPinned(spec: SandboxSpec): Promise<boolean> {
  const states = await Promise.all([...pinsOf(spec).values()].map(isPin));
  return states.every(Boolean);
}

/** Lets go of the namespaces and removes their files. No error when there are none. */
export async function unpinNamespaces(spec: SandboxSpec): Promise<void> {
  for (const file of pinsOf(spec).values()) {
    while (await isPin(file)) await run('umount', ['-l', '--', file], { timeoutMs: 30_000 });
  }
  await rm(`${spec.runDir}/ns`, { recursive: true, force: true });
}

async function isPin(file: string): Promise<boolean> {
  try {
    return (await statfs(file)).type === nsfsMagic;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return false;
    throw error;
  }
}
