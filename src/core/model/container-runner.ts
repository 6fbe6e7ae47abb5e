import type { OciProcess, OciResources, OciSpec } from './oci-runtime.ts';
import type { Placement } from './sandbox-provider.ts';

export interface CreateContainerSpec {
  /** 64 hexadecimal digits. */
  id: string;
  spec: OciSpec;
  placement: Placement;
  /** Absolute path of the CRI log file; undefined: output is discarded. Its folder exists. */
  logPath: string | undefined;
  stdin: boolean;
  stdinOnce: boolean;
}

/** How a container ended. */
export interface ContainerExit {
  id: string;
  /** 0–255; 128 plus the signal number when a signal ended it. */
  exitCode: number;
  /** Nanoseconds since 1970. */
  finishedAt: bigint;
  oomKilled: boolean;
}

/**
 * What the runner knows of a container now. `pid` is the first process's, in the runner's PID namespace. `exit` is
 * undefined when nobody saw the end.
 */
export type RunnerState =
  | { status: 'absent' }
  | { status: 'created' | 'running'; pid: number }
  | { status: 'stopped'; exit: ContainerExit | undefined };

export interface ExecResult {
  exitCode: number;
  stdout: Buffer;
  stderr: Buffer;
}

export interface ExecOptions {
  /** Milliseconds after which the command and its descendants are killed; 0 means no limit. */
  timeoutMs: number;
  /** Bytes kept of each stream; what comes after is read and dropped. */
  maxOutputBytes: number;
  signal?: AbortSignal | undefined;
}

/** Raw figures of one container's cgroup; undefined where the kernel offers none. */
export interface ContainerUsage {
  /** Nanoseconds since 1970 at which it was read. */
  timestamp: bigint;
  cpuNanoseconds: bigint | undefined;
  memoryUsageBytes: bigint | undefined;
  memoryWorkingSetBytes: bigint | undefined;
  memoryRssBytes: bigint | undefined;
  pageFaults: bigint | undefined;
  majorPageFaults: bigint | undefined;
  processes: bigint | undefined;
}

/** Runs containers inside sandboxes: conmon and an OCI runtime, on this host or inside a VM. */
export interface ContainerRunner {
  /** Name and version of the OCI runtime. @throws CriError UNAVAILABLE when a program is missing. */
  version(): Promise<{ name: string; version: string }>;

  /**
   * Creates the container; its process exists but has not run the command yet.
   * Undoes its own steps when it fails. @throws CriError UNKNOWN with the runtime's own words.
   */
  create(request: CreateContainerSpec): Promise<void>;

  /** Runs the command. @throws CriError UNKNOWN with the runtime's own words. */
  start(id: string): Promise<void>;

  /** Sends a signal to the first process. No error when it has ended. */
  signal(id: string, signal: number): Promise<void>;

  /** Kills every process of the container's cgroup. No error when there is none. */
  killAll(id: string): Promise<void>;

  inspect(id: string): Promise<RunnerState>;

  /** The configuration a container was created with; undefined when the runner has none of it. */
  spec(id: string): Promise<OciSpec | undefined>;

  /**
   * Runs a command in a running container and waits for it. Output that its descendants hold open after its end is waited
   * for briefly, not for ever. @throws CriError DEADLINE_EXCEEDED on timeout (the command is dead then), FAILED_PRECONDITION
   * when the container does not run, UNKNOWN with the runtime's words when the command cannot be started.
   */
  exec(id: string, process: OciProcess, options: ExecOptions): Promise<ExecResult>;

  /** Closes and opens the log file anew, so that a renamed file grows no more. Returns when the new file exists. */
  reopenLog(id: string): Promise<void>;

  /** Changes limits of a created or running container. */
  update(id: string, resources: OciResources): Promise<void>;

  usage(id: string): Promise<ContainerUsage | undefined>;

  /** Removes what is left of it: processes, cgroup, bundle, exit file. No error when nothing is left. */
  remove(id: string): Promise<void>;

  /** Ids of the containers this runner has files of, whether or not a record knows them. */
  list(): Promise<string[]>;

  /**
   * Calls `listener` once for each container that ends from now on. An end whose code nobody saw, because the monitor was
   * killed, is told with code 255; `inspect` then has no exit. Returns the unsubscriber.
   */
  onExit(listener: (exit: ContainerExit) => void): () => void;
}
