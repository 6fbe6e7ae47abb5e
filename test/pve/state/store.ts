import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { elements } from '../api/params/formats.ts';

/** A user of the cluster. */
export interface User {
  /** SHA-256 of the password, hexadecimal; a user without one cannot log in. */
  password?: string;
  comment?: string;
  email?: string;
  enable: number;
  /** Seconds since the epoch; 0 for never. */
  expire: number;
}

/** An API token. */
export interface Token {
  secret: string;
  privsep: number;
  expire: number;
  comment?: string;
}

/** One role granted to one user or token on one path. */
export interface Grant {
  path: string;
  type: 'user' | 'token';
  ugid: string;
  roleid: string;
  propagate: number;
}

/** A pool and its members. */
export interface Pool {
  comment?: string;
  vms: number[];
  storage: string[];
}

interface CommonConfig {
  content: string[];
  options: Record<string, string | number>;
}

/** A storage that is a directory of the node, or is mounted on one. */
export interface DirectoryConfig extends CommonConfig {
  type: 'dir' | 'btrfs' | 'nfs' | 'cifs';
  path: string;
}

/** A storage that is a pool of ZFS, or a dataset of one. */
export interface PoolConfig extends CommonConfig {
  type: 'zfspool';
  pool: string;
}

/** A storage of the cluster's configuration. */
export type StorageConfig = DirectoryConfig | PoolConfig;

/** Whether the storage may be used on the node: it is enabled, and not for other nodes alone. */
export function isUsable({ options }: StorageConfig, node: string): boolean {
  const { disable, nodes } = options;
  return disable !== 1 && (nodes === undefined || elements(nodes).includes(node));
}

/** A dataset of ZFS where there is no ZFS. */
export interface NotedDataset {
  type: 'filesystem' | 'volume';
  properties: Record<string, string>;
  /** Properties of its snapshots by name, the oldest first. */
  snapshots: Record<string, Record<string, string>>;
  origin?: string;
}

type Entry = Record<string, string | number>;

/** A guest's firewall; aliases and sets of addresses by name. */
export interface Firewall {
  options: Entry;
  rules: Entry[];
  aliases: Record<string, Entry>;
  ipset: Record<string, Entry>;
}

/** The firewall of the cluster; security groups by name alone. */
export interface ClusterFirewall {
  options: Entry;
  groups: string[];
}

/** Everything the cluster keeps besides guests, volumes and tasks. */
export interface Store {
  users: Record<string, User>;
  /** By `user@realm!id`. */
  tokens: Record<string, Token>;
  /** Roles that somebody made, by name. */
  roles: Record<string, string[]>;
  acl: Grant[];
  pools: Record<string, Pool>;
  storages: Record<string, StorageConfig>;
  /** By name, where there is no ZFS. */
  datasets?: Record<string, NotedDataset>;
  /** Pools of ZFS that are not imported, where there is no ZFS. */
  missingPools?: string[];
  /** datacenter.cfg. */
  options: Record<string, string>;
  backups: Record<string, Entry>;
  ha: Record<string, Entry>;
  zones: Record<string, Entry>;
  vnets: Record<string, Entry>;
  /** Firewalls by VMID: both kinds of guests have one file. */
  firewall: Record<string, Firewall>;
  clusterFirewall?: ClusterFirewall;
  /** Whether a QDevice runs, which has a vote. */
  qdevice?: boolean;
  /** Bridges of every node. */
  bridges: string[];
}

/** What a freshly installed cluster has. */
export function freshStore(): Store {
  return {
    users: { 'root@pam': { enable: 1, expire: 0 } },
    tokens: {},
    roles: {},
    acl: [],
    pools: {},
    storages: {
      local: {
        type: 'dir',
        path: '/var/lib/vz',
        content: ['images', 'rootdir', 'vztmpl', 'iso', 'backup', 'snippets'],
        options: {},
      },
    },
    options: {},
    backups: {},
    ha: {},
    zones: {},
    vnets: {},
    firewall: {},
    bridges: ['vmbr0', 'vmbr1'],
  };
}

/** The store that `file` holds; a fresh one when there is no such file. */
export function loadStore(file: string): Store {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Store;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return freshStore();
    throw error;
  }
}

/** Writes the text of a store to `file`, whole or not at all. */
export function saveStore(file: string, text: string): void {
  writeFileSync(`${file}.new`, text, { mode: 0o600 });
  renameSync(`${file}.new`, file);
}
