import type { ContainerRunner } from './container-runner.ts';
import type { Network } from './network.ts';
import type { Platform } from './platform.ts';
import type { LimitPolicy, RootfsStore } from './rootfs.ts';
import type { SandboxProvider } from './sandbox-provider.ts';

/**
 * The implementation of one RuntimeClass handler: sandboxes, container runner, network, root filesystems and platform. Backends
 * may share all but the first.
 */
export interface Backend {
  readonly sandboxes: SandboxProvider;
  readonly runner: ContainerRunner;
  readonly network: Network;
  readonly rootfs: RootfsStore;
  /** By default, none but those that annotations ask for. */
  readonly limits?: LimitPolicy;
  readonly platform: Platform;
}
