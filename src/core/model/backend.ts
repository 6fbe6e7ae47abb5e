import type { ContainerRunner } from './container-runner.ts';
import type { Network } from './network.ts';
import type { SandboxProvider } from './sandbox-provider.ts';

/**
 * What stands behind one RuntimeClass handler: what a pod is, what runs containers in it, and what connects it. Backends may
 * share a runner or a network.
 */
export interface Backend {
  readonly sandboxes: SandboxProvider;
  readonly runner: ContainerRunner;
  readonly network: Network;
}
