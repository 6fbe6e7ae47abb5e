import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { startCluster, type ClusterOptions, type SimulatedCluster } from '../pve/cluster.ts';
import { makeCertificate } from '../pve/http/certificate.ts';
import { LxcRuntime } from '../pve/lxc/runtime.ts';
import { output } from './pve-pool.ts';

/** What of the simulated node's directory a real node has where the server looks for it. */
const PLACES = ['/etc/pve', '/var/lib/vz'];

/**
 * This guest as the node pve1 of a simulated cluster: the cluster's files and the storage `local` are where a real node has
 * them, and its containers run here.
 */
export class NodeFixture {
  readonly cluster: SimulatedCluster;
  /** Configuration of a server on this node, TOML. */
  readonly toml: string;
  readonly #directory: string;

  private constructor(cluster: SimulatedCluster, toml: string, directory: string) {
    this.cluster = cluster;
    this.toml = toml;
    this.#directory = directory;
  }

  static async make(options: ClusterOptions = {}): Promise<NodeFixture> {
    const directory = await mkdtemp('/tmp/pve-');
    await chmod(directory, 0o711);
    const certificate = await makeCertificate('pve1');
    const runtime = new LxcRuntime({ pve1: '/var/lib/lxc' });
    const cluster = await startCluster({ certificate, runtime, ...options, directory: join(directory, 'cluster') });
    for (const place of PLACES) {
      await mkdir(place, { recursive: true });
      await output('mount', '--bind', join(cluster.state.directory, place), place);
    }
    const [id = '', secret = ''] = cluster.token('root@pam', 'node').replace('PVEAPIToken=', '').split('=');
    const tokenFile = join(directory, 'token');
    await writeFile(tokenFile, secret, { mode: 0o600 });
    const toml = `
[proxmox]
hosts = ["${new URL(cluster.nodes[0]?.url ?? '').host}"]
fingerprints = ["${certificate.fingerprint}"]
token_id = "${id}"
token_file = "${tokenFile}"
node = "pve1"
storage = "local"
[proxmox.vmids]
pve1 = { first = 10000, size = 300 }
`;
    return new NodeFixture(cluster, toml, directory);
  }

  async close(): Promise<void> {
    await this.cluster.close();
    for (const place of PLACES) await output('umount', place);
    await rm(this.#directory, { recursive: true, force: true });
  }
}
