import type { Readable, Writable } from 'node:stream';
import type { OciProcess, OciResources, OciSpec } from './oci-runtime.ts';
import type { ResourceUsage } from './resource-usage.ts';
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
 * What the runner knows of a container now. `pid` is the first process's, in the runner's PID namespace: it tells people
 * something, and may be of another kernel. `exit` is undefined when nobody saw the end.
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

/** A client's ends of the streams of a command, container or connection; undefined: the client has none. */
export interface ContainerStreams {
  /** Its end is the end of the input. */
  stdin: Readable | undefined;
  /** Written with regard to back-pressure and left open; once it is destroyed the output goes nowhere. */
  stdout: Writable | undefined;
  /** Stays silent with a terminal, which has one output. */
  stderr: Writable | undefined;
  /** The sizes the client's terminal takes; they end with the session. */
  resizes: AsyncIterable<TerminalSize> | undefined;
}

/** Runs containers inside sandboxes: conmon and an OCI runtime, on this host or inside a VM. */
export interface ContainerRunner {
  /** Name and version of the OCI runtime. @throws CriError UNAVAILABLE when a program is missing. */
  version(): Promise<{ name: string; version: string }>;

  /**
   * Creates the container; its process exists but has not run the command yet.
   * Undoes its own steps when it fails or `signal` fires, which ends the runtime.
   * @throws CriError UNKNOWN with the runtime's own words; the signal's reason.
   */
  create(request: CreateContainerSpec, signal?: AbortSignal): Promise<void>;

  /** Runs the command. @throws CriError UNKNOWN with the runtime's own words. */
  start(id: string): Promise<void>;

  /** Sends a signal to the first process. No error when it has ended. */
  signal(id: string, signal: number): Promise<void>;

  /** Kills every process of the container's cgroup. No error when there is none. */
  killAll(id: string): Promise<void>;

  inspect(id: string): Promise<RunnerState>;

  /** The path of a running container's PID namespace where the runner is, for another to join; undefined when it does not run. */
  pidNamespace(id: string): Promise<string | undefined>;

  /** The configuration a container was created with; undefined when the runner has none of it. */
  spec(id: string): Promise<OciSpec | undefined>;

  /**
   * Runs a command in a running container and waits for it. Output that its descendants hold open after its end is waited
   * for briefly, not for ever. @throws CriError DEADLINE_EXCEEDED on timeout (the command is dead then), FAILED_PRECONDITION
   * when the container does not run, UNKNOWN with the runtime's words when the command cannot be started.
   */
  exec(id: string, process: OciProcess, options: ExecOptions): Promise<ExecResult>;

  /**
   * Runs a command in a running container with a client's streams, on a terminal when `process.terminal` says so.
   * When `signal` fires the command and its descendants are killed. Output that its descendants hold open after its end
   * is carried on only while it keeps coming.
   * @returns the exit code. @throws CriError as {@link exec}, CANCELLED when the signal fired.
   */
  execStream(id: string, process: OciProcess, io: ContainerStreams, signal: AbortSignal): Promise<number>;

  /**
   * Connects a client's streams to those of a running container until it ends or the client leaves, which `signal` tells.
   * Several may be attached at once. One that does not read is cut off after some seconds, as it would hold up the
   * container, its log and the others. @throws CriError FAILED_PRECONDITION when it does not run, UNAVAILABLE when the
   * client was cut off, or the connection lost while the container runs on.
   */
  attach(id: string, io: ContainerStreams, signal: AbortSignal): Promise<void>;

  /**
   * Connects to a TCP port on the loopback of a pod's network namespace, IPv4 first, and carries bytes both ways until
   * both directions have ended. @throws CriError UNAVAILABLE when nobody listens, CANCELLED when the signal fired,
   * RESOURCE_EXHAUSTED when the pod has too many connections of attach, exec and port-forward.
   */
  forwardPort(placement: Placement, port: number, io: ContainerStreams, signal: AbortSignal): Promise<void>;

  /** Closes and opens the log file anew, so that a renamed file grows no more. Returns when the new file exists. */
  reopenLog(id: string): Promise<void>;

  /** Changes limits of a created or running container. */
  update(id: string, resources: OciResources): Promise<void>;

  usage(id: string): Promise<ResourceUsage | undefined>;

  /** Removes what is left of it: processes, cgroup, bundle, exit file. No error when nothing is left. */
  remove(id: string): Promise<void>;

  /** Ids of the containers this runner has files of, whether or not a record knows them. */
  list(): Promise<string[]>;

  /**
   * Calls `listener` for each container that ends from now on. An end whose code nobody saw, because the monitor was
   * killed, is reported with code 255; `inspect` then has no exit. A listener whose promise rejects is called again, some
   * seconds later. Returns the unsubscriber.
   */
  onExit(listener: (exit: ContainerExit) => unknown): () => void;
}
