import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { isErrno } from '../utils/errors.ts';

/** The file in which Proxmox VE keeps the storages of the cluster. */
const FILE = '/etc/pve/storage.cfg';

/** A storage of Proxmox that keeps volumes of containers in a ZFS dataset. */
export interface ZfsStorage {
  name: string;
  /** Its dataset, such as `rpool/data`. */
  pool: string;
}

/** The storages of type zfspool that this node uses for containers, in the file's order; none where this is no node of Proxmox. */
export async function readZfsStorages(file = FILE, node = hostname()): Promise<ZfsStorage[]> {
  try {
    return zfsStorages(await readFile(file, 'utf8'), node.split('.', 1)[0] ?? '');
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return [];
    throw error;
  }
}

/** The same of the file's text: sections `TYPE: NAME`, with a line for each property, indented. */
export function zfsStorages(text: string, node: string): ZfsStorage[] {
  const storages: ZfsStorage[] = [];
  for (const section of text.split(/^(?=\S)/m)) {
    const name = /^zfspool:[ \t]*(\S+)/.exec(section)?.[1];
    const pool = valueOf(section, 'pool');
    if (name === undefined || pool === undefined || pool === '') continue;
    if (valueOf(section, 'disable') !== undefined && valueOf(section, 'disable') !== '0') continue;
    const nodes = valueOf(section, 'nodes');
    if (nodes !== undefined && !listed(nodes).includes(node)) continue;
    // A zfspool without the property keeps both kinds of volumes.
    if (!listed(valueOf(section, 'content') ?? 'images,rootdir').includes('rootdir')) continue;
    storages.push({ name, pool });
  }
  return storages;
}

/** "" for a property that is only named; undefined without it. */
function valueOf(section: string, property: string): string | undefined {
  for (const line of section.split('\n')) {
    const [, name, value = ''] = /^[ \t]+(\S+)(?:[ \t]+(.*))?$/.exec(line) ?? [];
    if (name === property) return value.trim();
  }
  return undefined;
}

function listed(text: string): string[] {
  return text.split(/[\s,;]+/);
}
