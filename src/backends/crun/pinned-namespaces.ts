import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { CriError, StatusCode, invalidArgument } from '../../core/model/errors.ts';
import type { SandboxSpec } from '../../core/model/sandbox-provider.ts';
import { sysctlPath } from '../../core/model/sysctl.ts';
import { StepError, call } from '../../host/native/call.ts';
import type { PinStep } from '../../host/native/steps.ts';
import { isPin } from '../../host/mounts/namespace-pin.ts';

export type PinnedNamespace = 'net' | 'ipc' | 'uts' | 'user';

/** The namespaces a sandbox owns: which are pinned, and the file of each below `<runDir>/ns`. */
export function pinsOf(spec: SandboxSpec): Map<PinnedNamespace, string> {
  const names: PinnedNamespace[] = [];
  if (spec.network === 'pod') names.push('net', 'uts');
  if (spec.ipc === 'pod') names.push('ipc');
  if (spec.userNamespace !== undefined) names.push('user');
  return new Map(names.map((name) => [name, `${spec.runDir}/ns/${name}`]));
}

/**
 * Creates the sandbox's namespaces, or joins its network namespace, each kept alive by a bind mount on a file and by no process; sets hostname,
 * loopback and kernel parameters inside. The spec has passed {@link checkSandboxSpec}. {@link unpinNamespaces} rolls it
 * back.
 * @throws CriError INVALID_ARGUMENT when the kernel refuses a parameter, INTERNAL with the kernel's reason otherwise;
 * the signal's reason. Namespaces created before the failure stay.
 */
export async function pinNamespaces(spec: SandboxSpec, signal?: AbortSignal): Promise<void> {
  const pins = pinsOf(spec);
  mkdirSync(`${spec.runDir}/ns`, { recursive: true, mode: 0o700 });
  if (pins.size === 0) return;
  for (const file of pins.values()) writeFileSync(file, '', { mode: 0o400 });
  const step: PinStep & { limitMs: number } = {
    do: 'pin',
    pins,
    network: spec.networkNamespace,
    map: spec.userNamespace,
    hostname: pins.has('uts') && spec.hostname !== '' ? spec.hostname : undefined,
    loopback: spec.network === 'pod' && spec.networkNamespace === undefined,
    sysctls: Object.fromEntries(Object.entries(spec.sysctls).map(([name, value]) => [sysctlPath(name), value])),
    limitMs: 30_000,
  };
  try {
    await call([step], signal);
  } catch (cause) {
    if (!(cause instanceof StepError)) throw cause;
    if (cause.message.startsWith('sysctl '))
      throw invalidArgument('linux.sysctls', `the kernel refused ${cause.message}`);
    throw new CriError(StatusCode.INTERNAL, `cannot create the pod's namespaces: ${cause.message}`, { cause });
  }
}

/** Whether every namespace of the sandbox is pinned. */
export function namespacesPinned(spec: SandboxSpec): boolean {
  return [...pinsOf(spec).values()].every(isPin);
}

/** Unpins the namespaces and removes their files. No error when there are none. */
export async function unpinNamespaces(spec: SandboxSpec): Promise<void> {
  const targets = [...pinsOf(spec).values()].filter(isPin);
  if (targets.length > 0) {
    await call(targets.map((target) => ({ do: 'unmount', target, all: true, limitMs: 30_000 })));
  }
  rmSync(`${spec.runDir}/ns`, { recursive: true, force: true });
}
