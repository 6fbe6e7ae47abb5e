import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { vmidRanges } from '../../src/backends/proxmox/guests/vmid-ranges.ts';
import { checkConfig } from '../../src/core/config/load.ts';
import { parseConfig } from '../../src/core/config/read-file.ts';
import type { Config } from '../../src/core/config/schema.ts';
import { declareVmidRanges } from '../../src/core/config/vmid-ranges.ts';
import { requirementsOf } from '../../src/integrations/proxmox-api/diagnose/requirements.ts';
import { parseVersion } from '../../src/integrations/proxmox-api/version.ts';
import { startCluster, type ClusterOptions, type SimulatedCluster } from '../pve/cluster.ts';
import { makeCertificate } from '../pve/http/certificate.ts';
import { LxcRuntime } from '../pve/lxc/runtime.ts';
import { output } from './pve-pool.ts';

/** What of the simulated node's directory a real node has where the server looks for it. */
const PLACES = ['/etc/pve', '/var/lib/vz'];
const ID_FILES = ['/etc/subuid', '/etc/subgid'];

/** The one command of pct(1) that the server runs: pct unlock VMID. */
const PCT = '#!/bin/sh\nexec sed -i /^lock:/d /etc/pve/nodes/*/lxc/"$2.conf"\n';

/** What it asks systemd: systemctl show --property=ActiveState --value UNIT…; a unit that is active has a file. */
const SYSTEMCTL = `#!/bin/sh
for unit do
  case $unit in *@*) [ -e "\${0%/*}/units/$unit" ] && echo active || echo inactive ;; esac
done
`;

/** The pool of all pods' guests: a token of a pool may the least. */
const POOL = 'k8s';

/**
 * Makes the pool, and a token that has what pods in containers need there and nothing else, as `doctor` has it granted.
 * @returns the value of the header `Authorization`.
 */
function grantToken(cluster: SimulatedCluster, storage: string): string {
  const { state } = cluster;
  const { store, version } = state;
  const [user, name] = ['k8s@pve', 'node'];
  store.users[user] = { enable: 1, expire: 0 };
  store.pools[POOL] = { vms: [], storage: [] };
  const places = { pools: [POOL], storage, templateStorage: 'local', bridges: ['vmbr0'], networks: [] };
  const needed = cluster.nodes.flatMap(({ name: node }) =>
    requirementsOf({ ...places, node }, parseVersion(version.version)),
  );
  for (const { path, role, privileges, only } of needed) {
    if (only !== undefined) continue;
    store.roles[role] = [...privileges];
    const grant = { path, roleid: role, propagate: path === '/' ? 0 : 1 };
    store.acl.push({ ...grant, type: 'user', ugid: user }, { ...grant, type: 'token', ugid: `${user}!${name}` });
  }
  return cluster.token(user, name, true);
}

/**
 * This guest as the node pve1 of a simulated cluster: the cluster's files and the storage `local` are where a real node has
 * them, and its containers run here.
 */
export class NodeFixture {
  readonly cluster: SimulatedCluster;
  /** Configuration of a server on this node, TOML. */
  readonly toml: string;
  readonly #runtime: LxcRuntime;
  readonly #directory: string;

  private constructor(cluster: SimulatedCluster, toml: string, runtime: LxcRuntime, directory: string) {
    this.cluster = cluster;
    this.toml = toml;
    this.#runtime = runtime;
    this.#directory = directory;
  }

  /**
   * @param storage of the guests' root filesystems, one of the cluster's.
   * @param isPooled guests are in a pool, and the token may no more than `doctor` asks for; it is one of root's otherwise.
   */
  static async make(options: ClusterOptions = {}, storage = 'local', isPooled = false): Promise<NodeFixture> {
    const directory = await mkdtemp('/tmp/pve-');
    await chmod(directory, 0o711);
    // For user namespaces of pods, as doctor asks for them.
    const ids = join(directory, 'ids');
    await writeFile(ids, 'root:100000:65536\nroot:1000:8000000\n', { mode: 0o644 });
    for (const file of ID_FILES) await output('mount', '--bind', ids, file);
    // Beside the programs of this machine, what a server runs of a node's own.
    const programs = join(directory, 'bin');
    await mkdir(join(programs, 'units'), { recursive: true });
    await writeFile(join(programs, 'pct'), PCT, { mode: 0o755 });
    await writeFile(join(programs, 'systemctl'), SYSTEMCTL, { mode: 0o755 });
    process.env['PATH'] = `${programs}:${process.env['PATH'] ?? ''}`;
    const certificate = await makeCertificate('pve1');
    const runtime = new LxcRuntime({ pve1: '/var/lib/lxc' });
    const cluster = await startCluster({ certificate, runtime, ...options, directory: join(directory, 'cluster') });
    for (const place of PLACES) {
      await mkdir(place, { recursive: true });
      await output('mount', '--bind', join(cluster.state.directory, place), place);
    }
    const pools = Object.entries(options.storages ?? {}).filter(([, { type }]) => type === 'zfspool');
    const sections = pools.map(([name, config]) => `zfspool: ${name}\n\tpool ${'pool' in config ? config.pool : ''}\n`);
    await writeFile('/etc/pve/storage.cfg', sections.join('\n'));
    const token = isPooled ? grantToken(cluster, storage) : cluster.token('root@pam', 'node');
    const [id = '', secret = ''] = token.replace('PVEAPIToken=', '').split('=');
    const tokenFile = join(directory, 'token');
    await writeFile(tokenFile, secret, { mode: 0o600 });
    const toml = `
[proxmox]
hosts = ["${new URL(cluster.nodes[0]?.url ?? '').host}"]
fingerprints = ["${certificate.fingerprint}"]
token_id = "${id}"
token_file = "${tokenFile}"
node = "pve1"
storage = "${storage}"
pool = "${isPooled ? POOL : ''}"
[proxmox.vmids]
pve1 = { first = 10000, size = 300 }
`;
    return new NodeFixture(cluster, toml, runtime, directory);
  }

  /** The configuration of a server on this node that has its root directory at `root`. */
  config(root: string): Config {
    declareVmidRanges(vmidRanges);
    return checkConfig([{ name: 'test', ...parseConfig('test', Buffer.from(`root = "${root}"\n${this.toml}`)) }]);
  }

  /** Keeps the unit of a guest active after its end, or lets it end. */
  async keepUnit(vmid: number, kept: boolean): Promise<void> {
    const unit = join(this.#directory, 'bin/units', `pve-container@${String(vmid)}.service`);
    if (kept) await writeFile(unit, '');
    else await rm(unit);
    this.#runtime.keepUnit(vmid, kept);
  }

  async close(): Promise<void> {
    await this.cluster.close();
    for (const place of [...PLACES, ...ID_FILES]) await output('umount', place);
    await rm(this.#directory, { recursive: true, force: true });
  }
}
