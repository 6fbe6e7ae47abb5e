import type { AppArmor } from './apparmor.ts';
import type { DeviceRegistry } from './container-devices.ts';
import type { HostFacts } from './host-facts.ts';
import type { PlatformFiles } from './platform-files.ts';
import type { PodDirectories } from './pod-directories.ts';
import type { DeclaredVolumes } from './declared-volumes.ts';

/** Whether pods can have user namespaces of their own. */
export interface UserNamespaces {
  /** Why they cannot, with the remedy; undefined when they can. What takes long is tried once. */
  problem(): Promise<string | undefined>;
}

/** What the kernel that runs the containers of a backend offers: this host's, or a VM's. */
export interface Platform {
  readonly facts: HostFacts;
  readonly apparmor: AppArmor;
  readonly devices: DeviceRegistry;
  readonly userNamespaces: UserNamespaces;
  readonly files: PlatformFiles;
  readonly podDirectories: PodDirectories;
  readonly volumes: DeclaredVolumes;
}
