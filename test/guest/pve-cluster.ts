import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { connectProxmox, type ProxmoxClient } from '../../src/integrations/proxmox-api/client.ts';
import type { GuestRef } from '../../src/integrations/proxmox-api/guests/guest.ts';
import type { Upid } from '../../src/integrations/proxmox-api/tasks/upid.ts';
import { startCluster, type SimulatedCluster } from '../pve/cluster.ts';
import type { GuestRuntime } from '../pve/guests/runtime.ts';
import { makeCertificate } from '../pve/http/certificate.ts';
import { output } from './pve-pool.ts';

/** A simulated cluster of the nodes pve1 and pve2 that runs guests here, its bridge vmbr0, and a client of it. */
export class ClusterFixture {
  readonly directory: string;
  readonly cluster: SimulatedCluster;
  readonly client: ProxmoxClient;

  private constructor(directory: string, cluster: SimulatedCluster, client: ProxmoxClient) {
    this.directory = directory;
    this.cluster = cluster;
    this.client = client;
  }

  static async make(runtime: GuestRuntime): Promise<ClusterFixture> {
    const directory = await mkdtemp('/tmp/pve-');
    await chmod(directory, 0o711);
    await output('ip', 'link', 'add', 'vmbr0', 'up', 'type', 'bridge', 'vlan_filtering', '1');
    const certificate = await makeCertificate('pve1');
    const options = { certificate, nodes: ['pve1', 'pve2'], runtime };
    const cluster = await startCluster({ ...options, directory: join(directory, 'cluster') });
    const keys = join(cluster.state.directory, 'etc/pve');
    const client = await connectProxmox({
      hosts: cluster.nodes.map(({ url }) => new URL(url).host),
      trust: { fingerprints: [certificate.fingerprint] },
      credentials: {
        kind: 'local-root',
        authKeyFile: join(keys, 'priv/authkey.key'),
        csrfKeyFile: join(keys, 'pve-www.key'),
      },
    });
    return new ClusterFixture(directory, cluster, client);
  }

  /** Waits until a task has succeeded. @throws TaskFailedError. */
  done(upid: Upid): Promise<unknown> {
    return this.client.tasks.follow(upid, { firstMs: 10, longestMs: 100 });
  }

  /** Starts a guest; returns the process id of a machine, or of the init of a container. */
  async started(guest: GuestRef): Promise<number> {
    await this.done(await this.client.guests.start(guest));
    return (await this.client.guests.status(guest)).pid ?? 0;
  }

  /** Ends the client and the nodes. */
  async close(): Promise<void> {
    await this.client.close();
    await this.cluster.close();
  }

  /** Removes what it has made, after {@link close}. */
  async remove(): Promise<void> {
    await output('ip', 'link', 'del', 'vmbr0');
    await rm(this.directory, { recursive: true });
  }
}
