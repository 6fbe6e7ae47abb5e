import type { IdRange } from './id-range.ts';
import type { ResourceLimits } from './resources.ts';
import type { ContainerSecurity } from './security.ts';

/** What tells one container of a pod from another (CRI ContainerMetadata). */
export interface ContainerMetadata {
  name: string;
  attempt: number;
}

/** A run of ids in a mount: who owns a file in it, given whom it belongs to on its file system. */
export interface MountIdMapping {
  containerId: number;
  hostId: number;
  size: number;
}

/** A directory or file of the node, or the content of an image, mounted into a container. */
export interface MountSpec {
  /** Absolute, links not followed. */
  containerPath: string;
  source: { hostPath: string } | { image: string; subPath: string };
  /** `rro`: also the mounts below it are read-only. */
  access: 'rw' | 'ro' | 'rro';
  propagation: 'rprivate' | 'rslave' | 'rshared';
  restrictions: ('noexec' | 'nodev' | 'nosuid')[];
  /** Of an idmapped mount; both or neither. */
  mappings?: { uids: MountIdMapping[]; gids: MountIdMapping[] };
}

/** A device of the node, or a directory that stands for the devices in it. */
export interface DeviceSpec {
  hostPath: string;
  containerPath: string;
  /** Made of r, w and m. */
  permissions: string;
}

/** The PID namespace that a container is in; `target` is the id, or its beginning, of the container whose it joins. */
export type ContainerPid = 'pod' | 'container' | 'node' | { target: string };

/**
 * A container as it was asked for, every value checked that can be checked without its image and its pod. Its values are
 * JSON's, so that a record can hold it as it is.
 */
export interface ContainerSpec {
  metadata: ContainerMetadata;
  labels: Record<string, string>;
  annotations: Record<string, string>;
  image: {
    /** Name, digest or id of an image that is present. */
    name: string;
    /** What the user wrote for it; empty when nobody says. */
    asked: string;
  };
  /** Replaces the image's Entrypoint and Cmd; empty: it does not. */
  command: string[];
  /** Replaces the image's Cmd. */
  args: string[];
  env: { name: string; value: string }[];
  /** Absolute; empty: the image's. */
  workingDir: string;
  mounts: MountSpec[];
  devices: DeviceSpec[];
  /** Fully qualified names, each once. */
  cdiDevices: string[];
  /** Below the pod's log directory; empty: nothing is logged. */
  logPath: string;
  stdin: boolean;
  stdinOnce: boolean;
  tty: boolean;
  pid: ContainerPid;
  /** What it says of its user namespace, which must be its pod's; absent: nothing. */
  userNamespace?: IdRange | 'node';
  security: ContainerSecurity;
  resources: ResourceLimits;
  /** Signal number that asks it to end; absent: the image's. */
  stopSignal?: number;
}
