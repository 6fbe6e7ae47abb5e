import type { ContainerRunner } from './container-runner.ts';
import type { Network } from './network.ts';
import type { Platform } from './platform.ts';
import type { RootfsStore } from './rootfs.ts';
import type { SandboxProvider } from './sandbox-provider.ts';

/**
 * What stands behind one RuntimeClass handler: what a pod is, what runs containers in it, what connects it, where root file
 * systems come from, and what the kernel below offers. Backends may share all but the first.
 */
export interface Backend {
  readonly sandboxes: SandboxProvider;
  readonly runner: ContainerRunner;
  readonly network: Network;
  readonly rootfs: RootfsStore;
  readonly platform: Platform;
}
