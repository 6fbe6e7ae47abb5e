import type { ContainerSpec } from './container-spec.ts';

/**
 * The phase of a container. `creating`: CreateContainer has not finished, invisible to callers. `starting`: the start
 * was requested; if this process dies now, recovery asks the runner whether it happened.
 */
export type ContainerPhase = 'creating' | 'created' | 'starting' | 'running' | 'exited';

/** An image that a container has mounted in addition to its own (CRI Mount.image). */
export interface MountedImage {
  /** Index of the mount in the request. */
  mount: number;
  /** The image's id, as returned by PullImage. */
  imageId: string;
}

/** The durable record of a container, the file `<root>/containers/<id>.json`. */
export interface ContainerRecord {
  /** 64 lower-case hexadecimal digits. */
  id: string;
  sandboxId: string;
  /** The request, with the limits of later updates. */
  spec: ContainerSpec;
  /** The request's configuration as JSON, returned unchanged; opaque except to its parser. */
  request: unknown;
  /** The image's id as in ImageStatus. */
  imageId: string;
  /** A repository digest of the image, or its id without one. */
  imageRef: string;
  /** Name of the store of its root filesystem and image volumes; absent in records of versions that had one store. */
  rootfsStore?: string;
  /** Its image volumes; absent without any. */
  mountedImages?: MountedImage[];
  phase: ContainerPhase;
  /** Absolute path of the log file, empty without one. */
  logPath: string;
  /** The ids of the first process. */
  user: { uid: number; gid: number; supplementalGroups: number[] };
  /** Stop signal number, from the request or the image; 15 without either. */
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
