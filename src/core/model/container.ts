import type { ContainerSpec } from './container-spec.ts';

/**
 * Where a container stands. `creating`: CreateContainer has not finished, invisible to callers. `starting`: the start was
 * asked for, and whether it happened must be found out from the runner if this process dies now.
 */
export type ContainerPhase = 'creating' | 'created' | 'starting' | 'running' | 'exited';

/** An image that a container has mounted beside its own (CRI Mount.image). */
export interface MountedImage {
  /** Index of the mount in the request. */
  mount: number;
  /** The image's id, which is also what PullImage answered. */
  imageId: string;
}

/** The durable record of a container, the file `<root>/containers/<id>.json`. */
export interface ContainerRecord {
  /** 64 lower-case hexadecimal digits. */
  id: string;
  sandboxId: string;
  /** What was asked for, with the limits of later updates. */
  spec: ContainerSpec;
  /** The request's configuration as JSON, to be answered as it came; whoever parsed it can read it. */
  request: unknown;
  /** The image's id as ImageStatus gives it. */
  imageId: string;
  /** A repository digest of the image, or its id where it has none. */
  imageRef: string;
  /** Its image volumes; absent without any. */
  mountedImages?: MountedImage[];
  phase: ContainerPhase;
  /** Absolute path of the log file, empty when the request named none. */
  logPath: string;
  /** The ids the first process runs with. */
  user: { uid: number; gid: number; supplementalGroups: number[] };
  /** Signal number that asks it to end, from the request or the image; 15 without either. */
  stopSignal: number;
  /** Nanoseconds since 1970, 0 while it has not happened. */
  createdAt: bigint;
  startedAt: bigint;
  finishedAt: bigint;
  exitCode: number;
  /** CRI's brief CamelCase reason: Completed, Error, OOMKilled, StartError. */
  reason: string;
  message: string;
}
