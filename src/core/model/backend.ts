import type { ContainerRunner } from './container-runner.ts';
import type { SandboxProvider } from './sandbox-provider.ts';

/** What stands behind one RuntimeClass handler: what a pod is, and what runs containers in it. Backends may share a runner. */
export interface Backend {
  readonly sandboxes: SandboxProvider;
  readonly runner: ContainerRunner;
}
