import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Kind } from '../config/kind.ts';
import type { GuestRuntime } from '../guests/runtime.ts';
import { fault } from '../http/api-error.ts';
import type { Release } from '../api/params/property.ts';
import { Access } from './access.ts';
import { Faults } from './faults.ts';
import { GuestFiles, type GuestRef } from './guest-files.ts';
import { Locks } from './locks.ts';
import { privilegesOf } from './privileges.ts';
import { isUsable, loadStore, saveStore, type StorageConfig, type Store } from './store.ts';
import { Tasks } from './tasks.ts';
import { Tickets } from './tickets.ts';
import { Volumes } from './volumes.ts';
import { NotedDatasets } from '../storage/zfspool/noted.ts';

/** What a cluster is made of. */
export interface ClusterSettings {
  readonly release: Release;
  readonly nodes: readonly string[];
  /** Where everything lies: `etc/pve`, and storages under their own paths. */
  readonly directory: string;
  readonly runtime: GuestRuntime;
  /** Factor on the durations of a real node; 0 makes everything immediate. */
  readonly pace: number;
  /** Whether the daemon runs that measures; without it lists say `unknown`. */
  readonly statistics: boolean;
}

const versions: Record<Release, { version: string; repoid: string }> = {
  '8.4': { version: '8.4.14', repoid: 'b502d23c55afcba1' },
  '9.2': { version: '9.2.11', repoid: '14a22df35955d97d' },
};

/** The state of one simulated cluster. */
export class ClusterState {
  readonly release: Release;
  readonly nodes: readonly string[];
  readonly runtime: GuestRuntime;
  readonly directory: string;
  readonly store: Store;
  readonly access: Access;
  readonly tickets: Tickets;
  readonly guests: GuestFiles;
  readonly volumes: Volumes;
  readonly tasks = new Tasks();
  readonly locks = new Locks();
  readonly faults = new Faults();
  /** What was asked of its nodes, `METHOD /path`, in order; for tests to count. */
  readonly requests: string[] = [];
  readonly booted = Date.now();
  /** Nodes that are down: nobody reaches them. */
  readonly down = new Set<string>();
  /** Whether the daemon runs that measures. */
  readonly statistics: boolean;
  /** Certificate fingerprints by node. */
  readonly fingerprints = new Map<string, string>();
  /** Certificates by node, PEM. */
  readonly certificates = new Map<string, string>();
  /** Factor on a real node's durations. */
  readonly pace: number;
  /** What was last measured of guests, by kind and number, and when in milliseconds. */
  measured = { at: -Infinity, guests: new Map<string, Readonly<Record<string, unknown>>>() };
  readonly #storeFile: string;
  #saved = '';

  constructor(settings: ClusterSettings) {
    const { release, nodes, directory, runtime, pace } = settings;
    this.release = release;
    this.nodes = nodes;
    this.runtime = runtime;
    this.directory = directory;
    this.pace = pace;
    this.statistics = settings.statistics;
    const etc = join(directory, 'etc/pve');
    mkdirSync(etc, { recursive: true });
    this.#storeFile = join(etc, 'simulated-store.json');
    this.store = loadStore(this.#storeFile);
    this.access = new Access(this.store, privilegesOf(release));
    this.tickets = new Tickets(etc);
    this.guests = new GuestFiles(etc, nodes);
    const datasets = runtime.datasets() ?? new NotedDatasets(this.store, () => this.save());
    this.volumes = new Volumes({ root: directory, datasets, keepsQuota: this.nine }, this.store);
  }

  get version(): { version: string; release: string; repoid: string } {
    return { ...versions[this.release], release: this.release };
  }

  /** Whether the release is 9 or later. */
  get nine(): boolean {
    return this.release.startsWith('9');
  }

  /** The bridges of every node. */
  get bridges(): readonly string[] {
    return this.runtime.bridges() ?? this.store.bridges;
  }

  /** Writes users, pools and the like to disk. */
  save(): void {
    const text = JSON.stringify(this.store, undefined, 1);
    if (text !== this.#saved) saveStore(this.#storeFile, text);
    this.#saved = text;
  }

  /** Waits as long as a real node takes for something of `milliseconds`. */
  async pause(milliseconds: number): Promise<void> {
    if (this.pace > 0) await sleep(milliseconds * this.pace);
  }

  /** Runs `work` under the guest's lock, waiting for it up to 10 s. */
  async locked<T>(kind: Kind, vmid: number, work: () => Promise<T> | T, signal?: AbortSignal): Promise<T> {
    const path = kind.lockFile(vmid);
    if (this.faults.take('lock-timeout', { vmid }) !== undefined) {
      await this.pause(10_000);
      throw fault(`can't lock file '${path}' - got timeout`);
    }
    return this.locks.with(path, 10_000 * (this.pace || 1), work, signal);
  }

  /** Whether more than half of the votes are there: one for each node that is up, and the QDevice's. */
  get quorate(): boolean {
    const votes = this.nodes.length + (this.store.qdevice === true ? 1 : 0);
    return (votes - this.down.size) * 2 > votes;
  }

  /** @throws ApiError while there is no quorum. */
  requireQuorum(): void {
    if (!this.quorate || this.faults.take('no-quorum', {}) !== undefined) throw fault('cluster not ready - no quorum?');
  }

  /** Writes a guest's configuration file, as far as the cluster has quorum. */
  writeGuest(ref: GuestRef, text: string): void {
    const path = `/etc/pve/nodes/${ref.node}/${ref.kind.directory}/${ref.vmid}.conf`;
    if (!this.quorate || this.faults.take('no-quorum', { vmid: ref.vmid }) !== undefined) {
      throw fault(`unable to open file '${path}.tmp.${process.pid}' - Permission denied`);
    }
    this.guests.write(ref, text);
  }

  /**
   * The configuration of a storage that may be used on the node.
   * @throws ApiError when it does not exist, is disabled or is not for that node.
   */
  requireStorage(storage: string, node: string): StorageConfig {
    const config = this.volumes.config(storage);
    if (config.options['disable'] === 1) throw fault(`storage '${storage}' is disabled`);
    if (!isUsable(config, node)) throw fault(`storage '${storage}' is not available on node '${node}'`);
    return config;
  }

  /** @throws ApiError while the storage is full. */
  requireSpace(storage: string): void {
    if (this.faults.take('full-storage', { storage }) !== undefined) throw fault('No space left on device');
  }
}
