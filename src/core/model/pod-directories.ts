/** Paths of the files that all containers of a pod share, as paths of their runner. */
export interface PodFiles {
  resolvConf: string;
  hostname: string;
  hosts: string;
  /** The directory mounted at /dev/shm. */
  shm: string;
}

/** Contents of the files of a pod. */
export interface PodFileContents {
  /** undefined: the node's resolv.conf (CRI dns_config). */
  dns: { servers: readonly string[]; searches: readonly string[]; options: readonly string[] } | undefined;
  /** Empty: the node's. */
  hostname: string;
  ips: Promise<readonly string[]>;
  /** Whether the pod has the node's network, and so its hosts file. */
  hostNetwork: boolean;
  /** User and group id of the files: the root of the pod's containers. */
  owner: number;
  /** Bytes of the pod's /dev/shm; undefined: the node's. */
  shmBytes: number | undefined;
}

/**
 * The directory that each sandbox has on its kernel, emptied by a reboot: the pod's files and what the sandbox provider keeps
 * there. Every call may be repeated.
 */
export interface PodDirectories {
  /** Path of the directory of a sandbox; no file access. */
  path(sandboxId: string): string;

  /** Creates the directory, mode 0700. */
  make(sandboxId: string): Promise<void>;

  /** Paths of the files of a pod; no file access. */
  files(sandboxId: string): PodFiles;

  /**
   * Writes resolv.conf, hostname and hosts, and mounts /dev/shm. The kubelet mounts its own hosts file over this one. The files
   * are on their own bounded filesystem, so that containers cannot fill the node's directories.
   */
  writeFiles(sandboxId: string, contents: PodFileContents): Promise<void>;

  /** Unmounts what {@link writeFiles} mounted. No error when nothing is mounted. */
  unmountFiles(sandboxId: string): Promise<void>;

  /** Unmounts what is mounted and removes the directory. No error when there is none. */
  remove(sandboxId: string): Promise<void>;
}
