import type { Readable, Writable } from 'node:stream';
import type { OciProcess, OciResources, OciSpec } from './oci-runtime.ts';
import type { ResourceUsage } from './resource-usage.ts';
import type { Placement } from './sandbox-provider.ts';
import type { ProcessDetails, UsageDetails } from './usage-details.ts';

export interface CreateContainerSpec {
  /** 64 hexadecimal digits. */
  id: string;
  spec: OciSpec;
  placement: Placement;
  /** Absolute path of the CRI log file; undefined: output is discarded. Its directory exists. */
  logPath: string | undefined;
  stdin: boolean;
  stdinOnce: boolean;
}

/** The exit of a container. */
export interface ContainerExit {
  id: string;
  /** 0–255; 128 plus the signal number when a signal killed it. */
  exitCode: number;
  /** Nanoseconds since 1970. */
  finishedAt: bigint;
  oomKilled: boolean;
}

/**
 * The runner's current state of a container. `pid` is that of the first process in the runner's PID namespace, which may belong
 * to another kernel: informational only. `exit` is undefined when the exit is unknown.
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
  /**
   * Bytes kept of both streams together: a small one whole beside a large one, each half when both are large. The rest is
   * read and dropped.
   */
  maxOutputBytes: number;
  signal?: AbortSignal | undefined;
}

/** Columns and rows of a terminal, 1–65535. */
export interface TerminalSize {
  width: number;
  height: number;
}

/** A client's streams of a command, container or connection; undefined: none. */
export interface ContainerStreams {
  /** Its end closes the input. */
  stdin: Readable | undefined;
  /** Written with back-pressure and not closed; after it is destroyed the output is discarded. */
  stdout: Writable | undefined;
  /** Unused with a terminal, which has one output. */
  stderr: Writable | undefined;
  /** The sizes of the client's terminal; end with the streaming session. */
  resizes: AsyncIterable<TerminalSize> | undefined;
}

/** Runs containers inside sandboxes: conmon and an OCI runtime, on this host or inside a VM. */
export interface ContainerRunner {
  /** Name and version of the OCI runtime. @throws CriError UNAVAILABLE when a program is missing. */
  version(): Promise<{ name: string; version: string }>;

  /**
   * Creates the container; its process exists but has not run the command yet.
   * Rolled back when it fails or `signal` fires, which kills the runtime.
   * @throws CriError UNKNOWN with the runtime's message; the signal's reason.
   */
  create(request: CreateContainerSpec, signal?: AbortSignal): Promise<void>;

  /** Runs the command. @throws CriError UNKNOWN with the runtime's message. */
  start(id: string): Promise<void>;

  /** Sends a signal to the first process. No error when it has exited. */
  signal(id: string, signal: number): Promise<void>;

  /** Kills every process of the container's cgroup. No error when there is none. */
  killAll(id: string): Promise<void>;

  /**
   * Freezes the processes of a container and returns when none of them runs; commands that are to be run in it then wait. After
   * this process has been killed, {@link resume} of the next one continues them.
   * @throws CriError FAILED_PRECONDITION when somebody else has frozen it, UNAVAILABLE when a process does not freeze: all run on.
   */
  pause(id: string): Promise<void>;

  /** Continues what {@link pause} has frozen; false when nothing is. No error when the container has ended. */
  resume(id: string): Promise<boolean>;

  /** Paths of files of its root filesystem that processes of a container have mapped for shared writing (mmap(2)). */
  mappedFiles(id: string): Promise<string[]>;

  inspect(id: string): Promise<RunnerState>;

  /** The path of a running container's PID namespace where the runner is, for another to join; undefined when it does not run. */
  pidNamespace(id: string): Promise<string | undefined>;

  /** The configuration a container was created with; undefined when the runner has none of it. */
  spec(id: string): Promise<OciSpec | undefined>;

  /**
   * Runs a command in a running container and waits for its exit, then for a bounded time for output that its descendants keep
   * open. @throws CriError DEADLINE_EXCEEDED on timeout (the command is dead then), FAILED_PRECONDITION
   * when the container is not running, UNKNOWN with the runtime's message when the command cannot be started.
   */
  exec(id: string, process: OciProcess, options: ExecOptions): Promise<ExecResult>;

  /**
   * Runs a command in a running container with a client's streams, on a terminal when `process.terminal` says so.
   * When `signal` fires, the command and its descendants are killed. After its exit, output that its descendants keep open is
   * forwarded only while it continues.
   * @returns the exit code. @throws CriError as {@link exec}, CANCELLED when the signal fired.
   */
  execStream(id: string, process: OciProcess, io: ContainerStreams, signal: AbortSignal): Promise<number>;

  /**
   * Connects a client's streams to those of a running container until it exits or `signal` reports that the client is lost.
   * Several clients may be attached. One that does not read is disconnected after some seconds, as it would block the
   * container, its log and the others. @throws CriError FAILED_PRECONDITION when it does not run, UNAVAILABLE when the
   * client was cut off, or the connection lost while the container runs on.
   */
  attach(id: string, io: ContainerStreams, signal: AbortSignal): Promise<void>;

  /**
   * Connects to a TCP port on the loopback of a pod's network namespace, IPv4 first, and forwards both directions until
   * both directions are closed. @throws CriError UNAVAILABLE when nothing listens, CANCELLED when the signal fired,
   * RESOURCE_EXHAUSTED when the pod has too many connections of attach, exec and port-forward.
   */
  forwardPort(placement: Placement, port: number, io: ContainerStreams, signal: AbortSignal): Promise<void>;

  /** Reopens the log file, so that a renamed file no longer grows. Returns when the new file exists. */
  reopenLog(id: string): Promise<void>;

  /** Changes limits of a created or running container. */
  update(id: string, resources: OciResources): Promise<void>;

  /** The usage of a container; undefined when its cgroup is not there. Walks no tree. */
  usage(id: string): Promise<ResourceUsage | undefined>;

  /** All that the kernel counts of a container; undefined when its cgroup is not there. Walks no tree. */
  usageDetails(id: string): Promise<UsageDetails | undefined>;

  /** Counts its processes and what they have open, which takes longer the more there are; undefined when it does not run. */
  processDetails(id: string): Promise<ProcessDetails | undefined>;

  /** Removes its processes, cgroup, bundle and exit file. No error when there are none. */
  remove(id: string): Promise<void>;

  /** Ids of the containers with files of this runner, with or without a record. */
  list(): Promise<string[]>;

  /**
   * Calls `listener` for each container that exits from now on. An unknown exit code, because the monitor was
   * killed, is reported with code 255; `inspect` then has no exit. A listener whose promise rejects is called again, some
   * seconds later. Returns the unsubscriber.
   */
  onExit(listener: (exit: ContainerExit) => unknown): () => void;
}
