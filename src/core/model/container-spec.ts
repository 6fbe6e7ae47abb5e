import type { IdRange } from './id-range.ts';
import type { ResourceLimits } from './resources.ts';
import type { ContainerSecurity } from './security.ts';

/** The identity of a container in its pod (CRI ContainerMetadata). */
export interface ContainerMetadata {
  name: string;
  attempt: number;
}

/** A range of ids of an idmapped mount: the owner in the mount for each owner on its filesystem. */
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
 * A container as requested, with every value validated that does not depend on its image and its pod. Its values are JSON
 * values, so that a record can store it unchanged.
 */
export interface ContainerSpec {
  metadata: ContainerMetadata;
  labels: Record<string, string>;
  annotations: Record<string, string>;
  image: {
    /** Name, digest or id of an image that is present. */
    name: string;
    /** The name that the user specified; empty when unknown. */
    asked: string;
  };
  /** Replaces the image's Entrypoint and Cmd, unless empty. */
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
  /** The requested user namespace, which must be its pod's; absent: not set. */
  userNamespace?: IdRange | 'node';
  security: ContainerSecurity;
  resources: ResourceLimits;
  /** Stop signal number; absent: the image's. */
  stopSignal?: number;
}
