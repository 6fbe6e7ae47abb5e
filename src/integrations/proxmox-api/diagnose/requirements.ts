import { hasFeature, type Version } from '../version.ts';

/** What the pods' guests are made of, as the configuration names it. */
export interface Places {
  node: string;
  /** The resource pools of the guests; an empty name stands for guests in none. */
  pools: readonly string[];
  storage: string;
  templateStorage: string;
  /** `vmbr0`, or `zone/vnet`. */
  bridges: readonly string[];
  /** The networks of the guests. */
  networks: readonly PodNetwork[];
  /** The VMIDs of the pods' guests on each node. */
  ranges: readonly PodRange[];
}

/** The VMIDs of the pods of a node, `first` to `first + size - 1`. */
export interface PodRange {
  node: string;
  first: number;
  size: number;
}

/** A network of the pods' guests, as far as the node has to have it. */
export interface PodNetwork {
  /** As one of {@link Places.bridges}. */
  bridge: string;
  /** Its VLAN; 0: none. */
  tag: number;
  /** Whether the firewall of Proxmox VE is for its guests. */
  firewall: boolean;
  /** Names of its security groups there. */
  security_groups: readonly string[];
}

/** Privileges on one path of the access control list. */
export interface Requirement {
  path: string;
  /** Name of the role that has them. */
  role: string;
  privileges: readonly string[];
  /** The role is granted on what lies below as well. What is needed on the cluster itself is not to reach all that is in it. */
  propagate: boolean;
  /** What lies below the path needs them too. */
  mustPropagate: boolean;
  /** What does not work without them; undefined when nothing does. */
  only: string | undefined;
}

type Needed = [path: string, role: string, privileges: readonly string[], only?: string | undefined];

const prefixed = (prefix: string, ...names: string[]) => names.map((name) => `${prefix}.${name}`);

const GUESTS = [
  ...prefixed('VM', 'Allocate', 'Audit', 'Clone'),
  ...prefixed('VM.Config', 'CPU', 'Disk', 'Memory', 'Network', 'Options'),
  ...prefixed('VM', 'Console', 'PowerMgmt', 'Snapshot'),
];

/**
 * What a token needs for pods in containers, and what only a part of them needs. A role holds all that its
 * path needs, for a role that is granted on a path replaces what is inherited from the paths above. Where guests may be in no
 * pool, the token needs all on all guests, and that a pool exists is all it must see of one. What is left of a guest is in no pool any more, and keeps its VMID from being used again: its HA entry shows to who may audit the cluster, its
 * firewall to who may audit all guests, its volumes to who may change all guests' disks or allocate on the storage.
 */
export function requirementsOf(
  { node, pools, storage, templateStorage, bridges, networks }: Omit<Places, 'ranges'>,
  version: Version,
): Requirement[] {
  const isPooled = !pools.includes('');
  const agent = hasFeature(version, 'guestAgentPrivileges') ? 'VM.GuestAgent.Unrestricted' : 'VM.Monitor';
  const space = prefixed('Datastore', 'AllocateSpace', 'Audit');
  const template = prefixed('Datastore', 'AllocateTemplate', 'Audit');
  const isShared = storage === templateStorage;
  const onStorage = isShared ? [...new Set([...space, ...template])] : space;
  const guests = isPooled ? [...GUESTS, 'Pool.Audit'] : GUESTS;
  const machines = [...guests, ...prefixed('VM.Config', 'Cloudinit', 'HWType'), agent];
  const named = pools.filter((pool) => pool !== '').map((pool) => `/pool/${pool}`);
  const guestPaths = isPooled ? named : ['/vms'];
  const stray = isPooled ? undefined : 'removing stray volumes';
  const needed: Needed[] = [
    ...guestPaths.flatMap((path): Needed[] => [
      [path, 'LxcriGuests', guests],
      [path, 'LxcriMachines', machines, 'pods as VMs'],
    ]),
    ...(isPooled ? [] : named).map((path): Needed => [path, 'LxcriPools', ['Pool.Audit']]),
    [`/storage/${storage}`, isShared ? 'LxcriStorageTemplates' : 'LxcriStorage', onStorage],
    [`/storage/${storage}`, 'LxcriStorageAdmin', [...onStorage, 'Datastore.Allocate'], stray],
    ...(isShared ? [] : [[`/storage/${templateStorage}`, 'LxcriTemplates', template] as Needed]),
    ...networkPaths(bridges, networks).map((path): Needed => [path, 'LxcriNetwork', ['SDN.Use']]),
    [`/nodes/${node}`, 'LxcriNode', ['Sys.Audit']],
    // Guests of pods that share the node's users are privileged.
    [
      '/',
      'LxcriCluster',
      hasFeature(version, 'privilegedNeedsSysModify') ? ['Sys.Audit', 'Sys.Modify'] : ['Sys.Audit'],
    ],
    ...(isPooled ? [['/vms', 'LxcriLeftovers', ['VM.Audit']] as Needed] : []),
    ['/mapping/dir', 'LxcriMappings', ['Mapping.Use'], 'volumes of pods as VMs'],
  ];
  return needed.map(([path, role, privileges, only]) => ({
    path,
    role,
    privileges,
    propagate: path !== '/',
    mustPropagate: ['/vms', '/mapping/dir'].includes(path),
    only,
  }));
}

/** The paths of bridges, and of the VLANs of guests, which are below. */
function networkPaths(bridges: readonly string[], networks: readonly PodNetwork[]): string[] {
  const vlans = networks.map(({ bridge, tag }) => networkPath(bridge) + (tag === 0 ? '' : `/${String(tag)}`));
  return [...new Set([...bridges.map(networkPath), ...vlans])];
}

/** The path of a bridge, or of a virtual network as `zone/vnet`, in the access control list. */
export function networkPath(bridge: string): string {
  return `/sdn/zones/${bridge.includes('/') ? bridge : `localnetwork/${bridge}`}`;
}
