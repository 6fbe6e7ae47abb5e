import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { randomUUID } from 'node:crypto';
import { methods } from './api/methods.ts';
import { Router } from './api/router.ts';
import { loadGuest } from './config/guest.ts';
import { ApiOnlyRuntime, type GuestRuntime } from './guests/runtime.ts';
import { applyAfterEnd } from './guests/update.ts';
import { HaManager } from './ha/manager.ts';
import { makeCertificate, type Certificate } from './http/certificate.ts';
import { NodeService } from './http/serve.ts';
import type { Release } from './api/params/property.ts';
import { ClusterState } from './state/cluster-state.ts';
import type { StorageConfig } from './state/store.ts';

/** How a cluster is started; everything has a default. */
export interface ClusterOptions {
  /** Release of Proxmox VE; 9.2 unless said otherwise. */
  readonly release?: Release;
  /** Names of the nodes; `pve1` alone unless said otherwise. */
  readonly nodes?: readonly string[];
  /** Address to listen on; 127.0.0.1 unless said otherwise. */
  readonly host?: string;
  /** Port of the first node, the next ones follow; 0, the default, takes free ones. */
  readonly port?: number;
  /** Where the cluster lies and stays; a temporary directory, removed at the end, unless said otherwise. */
  readonly directory?: string;
  /** What runs guests; nothing does unless said otherwise. */
  readonly runtime?: GuestRuntime;
  /** Factor on a real node's durations; 0, the default, makes everything immediate. */
  readonly pace?: number;
  /** Whether guests and nodes are measured; true unless said otherwise. */
  readonly statistics?: boolean;
  /** Storages by their ids, besides those of earlier; `local` is always there. */
  readonly storages?: Readonly<Record<string, StorageConfig>>;
  /** The certificate of all nodes; one is made for each unless said otherwise. */
  readonly certificate?: Certificate;
}

/** One node of a running cluster. */
export interface RunningNode {
  readonly name: string;
  readonly url: string;
  /** SHA-256 of the certificate, as Proxmox writes it. */
  readonly fingerprint: string;
  /** The authority of the certificate, PEM. */
  readonly authority: string;
}

/** A running cluster: its nodes, and its state for a test to look at and to disturb. */
export class SimulatedCluster implements AsyncDisposable {
  readonly nodes: readonly RunningNode[];
  readonly state: ClusterState;
  readonly ha: HaManager;
  readonly #servers: ReadonlyMap<string, Server>;
  readonly #temporary: string | undefined;

  constructor(
    state: ClusterState,
    nodes: readonly RunningNode[],
    servers: ReadonlyMap<string, Server>,
    temporary: string | undefined,
  ) {
    this.state = state;
    this.ha = new HaManager(state);
    this.nodes = nodes;
    this.#servers = servers;
    this.#temporary = temporary;
  }

  /**
   * Makes a token that may everything its user may, or, with `privsep`, what it is granted itself.
   * @returns the value of the header `Authorization`.
   */
  token(user: string, id: string, privsep = false): string {
    const secret = randomUUID();
    this.state.store.tokens[`${user}!${id}`] = { secret, privsep: privsep ? 1 : 0, expire: 0 };
    this.state.save();
    return `PVEAPIToken=${user}!${id}=${secret}`;
  }

  /** Takes a node down, as a lost machine is, or brings it back on its port. Its guests stay as they are. */
  async setDown(name: string, down: boolean): Promise<void> {
    const server = this.#servers.get(name);
    const node = this.nodes.find((one) => one.name === name);
    if (server === undefined || node === undefined) throw new Error(`no node '${name}'`);
    const { hostname, port } = new URL(node.url);
    if (down) {
      this.state.down.add(name);
      await stop(server);
    } else {
      await listen(server, Number(port), hostname);
      this.state.down.delete(name);
    }
  }

  /** Stops serving, interrupts the tasks, and removes what is temporary. */
  async close(): Promise<void> {
    await Promise.all([...this.#servers.values()].map(stop));
    this.state.faults.clear();
    await this.state.tasks.stopAll();
    await this.state.runtime.close();
    if (this.#temporary !== undefined) await rm(this.#temporary, { recursive: true, force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

function stop(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

function listen(server: Server, port: number, host: string): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => resolve((server.address() as AddressInfo).port));
  });
}

/**
 * Starts the nodes of a cluster, each on a port of its own.
 * @throws Error when openssl, the directory, a port or what the runtime needs is not to be had.
 */
export async function startCluster(options: ClusterOptions = {}): Promise<SimulatedCluster> {
  const { release = '9.2', nodes = ['pve1'], host = '127.0.0.1', port = 0 } = options;
  const temporary = options.directory === undefined ? await mkdtemp(join(tmpdir(), 'pve-cluster-')) : undefined;
  const state = new ClusterState({
    release,
    nodes,
    directory: options.directory ?? temporary!,
    runtime: options.runtime ?? new ApiOnlyRuntime(),
    pace: options.pace ?? 0,
    statistics: options.statistics ?? true,
  });
  const router = new Router(methods, release);
  const running: RunningNode[] = [];
  const servers = new Map<string, Server>();
  Object.assign(state.store.storages, options.storages);
  try {
    await state.runtime.open({
      release,
      nodes,
      directory: state.directory,
      volumes: state.volumes,
      config: (ref) => loadGuest(state, ref),
      ended: (ref) => applyAfterEnd(state, ref),
    });
    for (const storage of Object.keys(options.storages ?? {})) await state.volumes.added(storage);
    state.save();
    for (const [index, name] of nodes.entries()) {
      const { certificate, key, fingerprint, authority } = options.certificate ?? (await makeCertificate(name));
      const service = new NodeService(state, router, name);
      const settings = { cert: certificate, key, maxHeaderSize: 8192, keepAliveTimeout: 5000 };
      const server = createServer(settings, (request, response) => void service.serve(request, response));
      servers.set(name, server);
      const bound = await listen(server, port === 0 ? 0 : port + index, host);
      state.fingerprints.set(name, fingerprint);
      state.certificates.set(name, certificate);
      running.push({ name, url: `https://${host}:${bound}`, fingerprint, authority });
    }
  } catch (error) {
    await new SimulatedCluster(state, running, servers, temporary).close();
    throw error;
  }
  return new SimulatedCluster(state, running, servers, temporary);
}
