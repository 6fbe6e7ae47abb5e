import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { readZfsStorages } from '../../host/proxmox-storage.ts';
import { isBootedBySystemd } from '../../host/systemd.ts';
import { run } from '../../host/processes/run.ts';
import { exists } from '../../utils/fs/exists.ts';

/** A node of Proxmox VE, as setup configures it. */
export interface ProxmoxNode {
  name: string;
  /** `9.2.1`. */
  version: string;
  /** Name of its cluster; undefined for a single node. */
  cluster: string | undefined;
  /** The numbers of the cluster's nodes, from 1, by their names; they stay when nodes come and go. */
  ids: ReadonlyMap<string, number>;
  /** Storage of ZFS for containers, the first; undefined without one. */
  zfs: string | undefined;
  /** Fingerprint of a certificate that the cluster's own authority did not sign. */
  fingerprint: string | undefined;
}

/**
 * The node of Proxmox VE that this machine is; undefined elsewhere.
 * @throws Error when Proxmox VE is installed, but its cluster file system is not mounted.
 */
export async function detectProxmox(): Promise<ProxmoxNode | undefined> {
  if (!(await isInstalled())) return undefined;
  const name = hostname().split('.', 1)[0] ?? '';
  if (!(await exists(`/etc/pve/nodes/${name}`)))
    throw new Error(
      `/etc/pve has no node ${name}: start the file system of the cluster by "systemctl start pve-cluster"`,
    );
  const { stdout } = await run('pveversion', [], { timeoutMs: 30_000, holds: 'nothing' });
  const version = /^pve-manager\/(\d+\.\d+[\w.~-]*)/m.exec(stdout)?.[1];
  if (version === undefined) throw new Error(`pveversion printed no version: ${JSON.stringify(stdout.slice(0, 100))}`);
  const corosync = await readOr('/etc/pve/corosync.conf');
  const [storage] = await readZfsStorages();
  return {
    name,
    version,
    cluster: /^\s*cluster_name:\s*(\S+)/m.exec(corosync)?.[1],
    ids: nodeIds(corosync, name),
    zfs: storage?.name,
    fingerprint: await fingerprintOf(`/etc/pve/nodes/${name}/pveproxy-ssl.pem`),
  };
}

/** The numbers that corosync.conf(5) gives to nodes; 1 to `name` alone where there is no such file. */
export function nodeIds(corosync: string, name: string): ReadonlyMap<string, number> {
  const ids = new Map<string, number>();
  for (const [, section = ''] of corosync.matchAll(/\bnode\s*\{([^}]*)\}/g)) {
    const node = /^\s*name:\s*(\S+)/m.exec(section)?.[1];
    const id = /^\s*nodeid:\s*(\d+)/m.exec(section)?.[1];
    if (node !== undefined && id !== undefined) ids.set(node, Number(id));
  }
  return ids.has(name) ? ids : new Map([[name, 1]]);
}

/** The creator of cgroups that `runtime.cgroup_driver = "auto"` chooses, and the kubelet's when its configuration names one. */
export async function describeCgroups(): Promise<string> {
  const own = (await isBootedBySystemd()) ? 'systemd' : 'cgroupfs';
  const kubelet = /^cgroupDriver:\s*(\S+)/m.exec(await readOr('/var/lib/kubelet/config.yaml'))?.[1];
  if (kubelet === undefined) return own;
  return kubelet === own
    ? `${own}, as the kubelet`
    : `${own}, but cgroupDriver of the kubelet is ${kubelet}: set both alike`;
}

async function isInstalled(): Promise<boolean> {
  const directories = (process.env['PATH'] ?? '').split(':');
  for (const directory of directories) if (await exists(`${directory}/pveversion`)) return true;
  return false;
}

async function fingerprintOf(file: string): Promise<string | undefined> {
  const pem = await readOr(file);
  return pem === '' ? undefined : new X509Certificate(pem).fingerprint256;
}

/** The content of a file; '' for one that cannot be read. */
async function readOr(path: string): Promise<string> {
  return readFile(path, 'utf8').catch(() => '');
}
