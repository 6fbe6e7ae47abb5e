import type { Release } from '../../api/params/property.ts';

/** A volume as the node sees it. */
export interface VolumeFacts {
  readonly path: string;
  readonly format: string;
  /** Type of its storage. */
  readonly storage: string;
}

/** What the node is, as far as it shapes a command line. */
export interface HostFacts {
  readonly release: Release;
  /** Version of the program that runs machines, such as `10.0.2`. */
  readonly qemu: string;
  /** Whether the kernel virtualizes. */
  readonly kvm: boolean;
  readonly vhostNet: boolean;
  /** How many CPUs the node has. */
  readonly cpus: number;
  /** Name of the iSCSI initiator, where the node has one. */
  readonly initiator?: string;
  /** The directory of sockets and process ids. */
  readonly run: string;
  /** The socket of the daemon that is told of events. */
  readonly events: string;
  /** The directory of the scripts that connect networks. */
  readonly scripts: string;
  /** The directory of the files that every machine reads. */
  readonly share: string;
  /** The volume of that name. @throws Error when there is none. */
  readonly volume: (volid: string) => VolumeFacts;
  /** The MTU of a bridge in bytes. @throws Error when there is none. */
  readonly mtu: (bridge: string) => number;
}

/** The directories of a Proxmox node. */
export const nodePlaces = {
  run: '/var/run/qemu-server',
  events: '/var/run/qmeventd.sock',
  scripts: '/usr/libexec/qemu-server',
  share: '/usr/share/qemu-server',
} as const;
