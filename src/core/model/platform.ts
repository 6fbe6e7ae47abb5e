import type { AppArmor } from './apparmor.ts';
import type { DeviceRegistry } from './container-devices.ts';
import type { HostFacts } from './host-facts.ts';
import type { PlatformFiles } from './platform-files.ts';
import type { PodDirectories } from './pod-directories.ts';
import type { DeclaredVolumes } from './declared-volumes.ts';
import type { RootfsMounts } from './rootfs-mounts.ts';

/** Support for user namespaces of pods. */
export interface UserNamespaces {
  /** The reason why they are not supported, with the remedy; undefined when they are. Slow checks are done once. */
  problem(): Promise<string | undefined>;
}

/** The platform of a backend: features of the kernel that runs its containers, this host's or a VM's. */
export interface Platform {
  readonly facts: HostFacts;
  readonly apparmor: AppArmor;
  readonly devices: DeviceRegistry;
  readonly userNamespaces: UserNamespaces;
  readonly rootfs: RootfsMounts;
  readonly files: PlatformFiles;
  readonly podDirectories: PodDirectories;
  readonly volumes: DeclaredVolumes;
  /** Mounts volumes that a store has. */
  readonly volumeMounts: RootfsMounts;
}
