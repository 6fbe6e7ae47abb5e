/** The parts of an SELinux label; empty ones are not set. */
export interface SelinuxLabel {
  user: string;
  role: string;
  type: string;
  level: string;
}

/** The system calls that a container may make. */
export type SeccompProfile =
  | { type: 'unconfined' }
  | { type: 'runtime-default' }
  /** The OCI document in a file of the node. */
  | { type: 'file'; path: string };

/** The AppArmor profile of a container. */
export type ApparmorProfile =
  | { type: 'unconfined' }
  | { type: 'runtime-default' }
  /** One that is loaded; `field` is the part of the request that named it. */
  | { type: 'loaded'; name: string; field: string };

/** Requested capabilities, without `CAP_`; ALL is separate. */
export interface CapabilityChange {
  add: string[];
  addAll: boolean;
  drop: string[];
  dropAll: boolean;
  /** Added, and kept by users other than root. */
  ambient: string[];
}

/** The ids of a container's process. Absent ones are the image's. */
export interface UserChoice {
  user?: { uid: number } | { name: string };
  /** Only with a user. */
  gid?: number;
  supplementalGroups: number[];
  /** Whether the groups that the image's /etc/group gives the user are added. */
  mergeImageGroups: boolean;
}

/** The privileges of a container's processes (CRI LinuxContainerSecurityContext). */
export interface ContainerSecurity {
  privileged: boolean;
  readonlyRootfs: boolean;
  noNewPrivileges: boolean;
  user: UserChoice;
  capabilities: CapabilityChange;
  seccomp: SeccompProfile;
  apparmor: ApparmorProfile;
  selinux?: SelinuxLabel;
  /** Absolute paths; without effect in a privileged container. */
  maskedPaths: string[];
  readonlyPaths: string[];
}
