import type { NetworkAttachment } from './network.ts';
import type { PodSpec } from './pod-spec.ts';
import type { SandboxHandle } from './sandbox-provider.ts';

/**
 * The phase of a pod. `creating`: RunPodSandbox has not finished, invisible to callers. `ready`: has its namespaces and network.
 * `stopped`: CRI's NOTREADY; resources are released or being released.
 */
export type SandboxPhase = 'creating' | 'ready' | 'stopped';

/** The durable record of a pod sandbox, the file `<root>/sandboxes/<id>.json`. */
export interface SandboxRecord {
  /** 64 lower-case hexadecimal digits. */
  id: string;
  /** Its handler, never empty. */
  handler: string;
  /** What chose it, as `HandlerChoice.chosenBy` says; records of earlier versions have none. */
  handlerChosenBy?: string;
  /** The request, with the limits of later updates. */
  spec: PodSpec;
  /** The request's configuration as JSON, returned unchanged; opaque except to its parser. */
  request: unknown;
  /** The provider's handle; absent before the first object was created. */
  handle?: SandboxHandle;
  phase: SandboxPhase;
  /** Nanoseconds since 1970. */
  createdAt: bigint;
  /** The network attachment; kept until it is released. */
  network?: NetworkAttachment;
  /** /proc/sys/kernel/random/boot_id of the boot it ran in. */
  bootId: string;
}
