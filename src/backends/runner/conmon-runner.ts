import type { Clock } from '../../core/model/clock.ts';
import type {
  ContainerExit,
  ContainerRunner,
  ContainerUsage,
  CreateContainerSpec,
  ExecOptions,
  ExecResult,
  RunnerState,
} from '../../core/model/container-runner.ts';
import { unimplemented } from '../../core/model/errors.ts';
import type { Logger } from '../../core/model/logger.ts';
import type { OciProcess, OciResources } from '../../core/model/oci-runtime.ts';

export interface ConmonRunnerOptions {
  /** Absolute, at most 80 bytes long; on a file system that a reboot empties. Made when missing. */
  stateDir: string;
  /** crun or runc: a name on PATH or a path. */
  ociRuntime: string;
  /** A name on PATH or a path. */
  conmon: string;
  /** Milliseconds that exec waits for output which descendants of the ended command hold open. */
  execDrainMs: number;
  logger: Logger;
  clock: Clock;
}

/** Runs containers on this host: an OCI runtime below one conmon a container, which outlives this process. */
export class ConmonRunner implements ContainerRunner {
  readonly options: ConmonRunnerOptions;

  constructor(options: ConmonRunnerOptions) {
    this.options = options;
  }

  version(): Promise<{ name: string; version: string }> {
    throw unimplemented('the container runner');
  }
  create(_request: CreateContainerSpec): Promise<void> {
    throw unimplemented('the container runner');
  }
  start(_id: string): Promise<void> {
    throw unimplemented('the container runner');
  }
  signal(_id: string, _signal: number): Promise<void> {
    throw unimplemented('the container runner');
  }
  killAll(_id: string): Promise<void> {
    throw unimplemented('the container runner');
  }
  inspect(_id: string): Promise<RunnerState> {
    throw unimplemented('the container runner');
  }
  exec(_id: string, _process: OciProcess, _options: ExecOptions): Promise<ExecResult> {
    throw unimplemented('the container runner');
  }
  reopenLog(_id: string): Promise<void> {
    throw unimplemented('the container runner');
  }
  update(_id: string, _resources: OciResources): Promise<void> {
    throw unimplemented('the container runner');
  }
  usage(_id: string): Promise<ContainerUsage | undefined> {
    throw unimplemented('the container runner');
  }
  remove(_id: string): Promise<void> {
    throw unimplemented('the container runner');
  }
  list(): Promise<string[]> {
    throw unimplemented('the container runner');
  }
  onExit(_listener: (exit: ContainerExit) => void): () => void {
    throw unimplemented('the container runner');
  }
  /** Ends the watching of exits; containers run on. */
  close(): void {
    throw unimplemented('the container runner');
  }
}
