/** Paths of the files that every container of a pod sees, where its runner is. */
export interface PodFiles {
  resolvConf: string;
  hostname: string;
  hosts: string;
  /** The directory mounted at /dev/shm. */
  shm: string;
}

/** What the files of a pod say. */
export interface PodFileContents {
  /** undefined: the node's own resolv.conf, as CRI says of dns_config. */
  dns: { servers: readonly string[]; searches: readonly string[]; options: readonly string[] } | undefined;
  /** Empty: the node's. */
  hostname: string;
  ips: readonly string[];
  /** Whether the pod has the node's network, and so its hosts file. */
  hostNetwork: boolean;
  /** User and group id of the files, whom the pod's containers know as root. */
  owner: number;
  /** Bytes of a /dev/shm of its own; undefined: it has the node's. */
  shmBytes: number | undefined;
}

/**
 * The directory that each sandbox has on its kernel, emptied by a reboot: the pod's files and what the sandbox provider keeps
 * there. Every call may be repeated.
 */
export interface PodDirectories {
  /** Where the directory of a sandbox is; nothing is looked at. */
  path(sandboxId: string): string;

  /** Makes the directory, mode 0700. */
  make(sandboxId: string): Promise<void>;

  /** Where the files of a pod are; nothing is looked at. */
  files(sandboxId: string): PodFiles;

  /**
   * Writes resolv.conf, hostname and hosts, and mounts /dev/shm. The kubelet mounts a hosts file of its own over this one.
   * What containers write into them has bounds of its own and takes nothing from the node's directories.
   */
  writeFiles(sandboxId: string, contents: PodFileContents): Promise<void>;

  /** Unmounts what {@link writeFiles} mounted. No error when nothing is mounted. */
  unmountFiles(sandboxId: string): Promise<void>;

  /** Unmounts what is mounted and removes the directory. No error when there is none. */
  remove(sandboxId: string): Promise<void>;
}
