import { unimplemented } from '../../core/model/errors.ts';
import type { Logger } from '../../core/model/logger.ts';
import type { HandlerFeatures, Placement, SandboxProvider, SandboxSpec } from '../../core/model/sandbox-provider.ts';

export interface LxcSandboxProviderOptions {
  /** liblxc's own folder (`-P`), such as `<state>/lxc`; made when missing, mode 0700. */
  lxcPath: string;
  logger: Logger;
}

/** The handler `lxc`: a pod is one LXC container that holds the pod's namespaces and cgroup. */
export class LxcSandboxProvider implements SandboxProvider {
  readonly handler = 'lxc';
  readonly features: HandlerFeatures = { recursiveReadOnlyMounts: false, userNamespaces: false };
  readonly options: LxcSandboxProviderOptions;

  constructor(options: LxcSandboxProviderOptions) {
    this.options = options;
  }

  unavailableBecause(): Promise<string | undefined> {
    throw unimplemented('handler lxc');
  }
  start(_spec: SandboxSpec, _signal?: AbortSignal): Promise<Placement> {
    throw unimplemented('handler lxc');
  }
  inspect(_spec: SandboxSpec): Promise<Placement | undefined> {
    throw unimplemented('handler lxc');
  }
  describe(_spec: SandboxSpec): Promise<Record<string, unknown>> {
    throw unimplemented('handler lxc');
  }
  stop(_spec: SandboxSpec): Promise<void> {
    throw unimplemented('handler lxc');
  }
  remove(_spec: SandboxSpec): Promise<void> {
    throw unimplemented('handler lxc');
  }
  discard(_sandboxId: string): Promise<void> {
    throw unimplemented('handler lxc');
  }
  list(): Promise<string[]> {
    throw unimplemented('handler lxc');
  }
  onExit(_listener: (sandboxId: string) => void): () => void {
    throw unimplemented('handler lxc');
  }
}
