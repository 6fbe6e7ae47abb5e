import { unimplemented } from '../../core/model/errors.ts';
import type { Logger } from '../../core/model/logger.ts';
import type { HandlerFeatures, Placement, SandboxProvider, SandboxSpec } from '../../core/model/sandbox-provider.ts';

export interface CrunSandboxProviderOptions {
  /** Folder where this provider notes which sandboxes it has made, such as `<state>/crun-sandboxes`; made when missing. */
  statePath: string;
  logger: Logger;
}

/** The handler `crun`: a pod is a set of pinned namespaces and a cgroup, with a process only for a shared PID namespace. */
export class CrunSandboxProvider implements SandboxProvider {
  readonly handler = 'crun';
  readonly features: HandlerFeatures = { recursiveReadOnlyMounts: false, userNamespaces: false };
  readonly options: CrunSandboxProviderOptions;

  constructor(options: CrunSandboxProviderOptions) {
    this.options = options;
  }

  unavailableBecause(): Promise<string | undefined> {
    throw unimplemented('handler crun');
  }
  start(_spec: SandboxSpec, _signal?: AbortSignal): Promise<Placement> {
    throw unimplemented('handler crun');
  }
  inspect(_spec: SandboxSpec): Promise<Placement | undefined> {
    throw unimplemented('handler crun');
  }
  describe(_spec: SandboxSpec): Promise<Record<string, unknown>> {
    throw unimplemented('handler crun');
  }
  stop(_spec: SandboxSpec): Promise<void> {
    throw unimplemented('handler crun');
  }
  remove(_spec: SandboxSpec): Promise<void> {
    throw unimplemented('handler crun');
  }
  discard(_sandboxId: string): Promise<void> {
    throw unimplemented('handler crun');
  }
  list(): Promise<string[]> {
    throw unimplemented('handler crun');
  }
  onExit(_listener: (sandboxId: string) => void): () => void {
    throw unimplemented('handler crun');
  }
}
