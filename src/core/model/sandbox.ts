import type { NetworkAttachment } from './network.ts';
import type { PodSpec } from './pod-spec.ts';
import type { SandboxHandle } from './sandbox-provider.ts';

/**
 * Where a pod stands. `creating`: RunPodSandbox has not finished, invisible to callers. `ready`: holds its namespaces and
 * network. `stopped`: CRI's NOTREADY; resources are given back or being given back.
 */
export type SandboxPhase = 'creating' | 'ready' | 'stopped';

/** The durable record of a pod sandbox, the file `<root>/sandboxes/<id>.json`. */
export interface SandboxRecord {
  /** 64 lower-case hexadecimal digits. */
  id: string;
  /** The handler that made it, never empty. */
  handler: string;
  /** What was asked for, with the limits of later updates. */
  spec: PodSpec;
  /** The request's configuration as JSON, to be answered as it came; whoever parsed it can read it. */
  request: unknown;
  /** What its provider keeps to find it again; absent before there was anything to find. */
  handle?: SandboxHandle;
  phase: SandboxPhase;
  /** Nanoseconds since 1970. */
  createdAt: bigint;
  /** What the network gave; kept until it has been given back. */
  network?: NetworkAttachment;
  /** /proc/sys/kernel/random/boot_id of the boot it ran in. */
  bootId: string;
}
