import { setTimeout as sleep } from 'node:timers/promises';
import { fault, messageOf } from '../../http/api-error.ts';
import type { PoolConfig } from '../../state/store.ts';
import type { Allocation, Feature, FeatureOptions, Space, Storage, Volume } from '../storage.ts';
import type { Dataset, Datasets } from './datasets.ts';
import { isVolume, parseName } from './names.ts';

const BASE = '__base__';
/** How often a busy dataset is tried to be destroyed, and how long to wait between, in milliseconds. */
const TRIES = 6;
const BETWEEN = 1000;
/** The property that keeps a quota with a snapshot, which ZFS does not. */
const KEPT_QUOTA = 'pve-storage:refquota';
const MIB = 1024 ** 2;

const features: Readonly<Record<Feature, readonly ('base' | 'current' | 'snapshot')[]>> = {
  snapshot: ['current', 'snapshot'],
  clone: ['base'],
  template: ['current'],
  copy: ['base', 'current'],
};

/** Zero is no quota. */
const quotaText = (bytes: number): string => (bytes === 0 ? 'none' : String(bytes));

/** A storage of type `zfspool`: the datasets directly below a pool or a dataset of it that are named as volumes are. */
export class ZfsPoolStorage implements Storage {
  readonly #id: string;
  readonly #config: PoolConfig;
  readonly #datasets: Datasets;
  readonly #keepsQuota: boolean;

  constructor(id: string, config: PoolConfig, settings: { datasets: Datasets; keepsQuota: boolean }) {
    this.#id = id;
    this.#config = config;
    this.#datasets = settings.datasets;
    this.#keepsQuota = settings.keepsQuota;
  }

  /** Notes where the pool is mounted, if it is to be had. */
  async added(): Promise<void> {
    const { pool, options } = this.#config;
    const [mountpoint = ''] = await this.#datasets.get(pool, 'mountpoint').catch(() => []);
    if (options['mountpoint'] === undefined && mountpoint.startsWith('/')) options['mountpoint'] = mountpoint;
  }

  /** Imports the pool where it is not imported, and mounts what is in it. */
  async activate(): Promise<void> {
    const { pool } = this.#config;
    if (this.#datasets.mounted(pool)) return;
    try {
      const [name = ''] = pool.split('/');
      if (!(await this.#datasets.imported(name))) await this.#datasets.importPool(name);
      await this.#datasets.mountAll();
    } catch (error) {
      throw fault(`could not activate storage '${this.#id}', ${messageOf(error)}`);
    }
  }

  async space(): Promise<Space | undefined> {
    try {
      await this.activate();
      const [avail = NaN, used = NaN] = (await this.#datasets.get(this.#config.pool, 'available', 'used')).map(Number);
      return { total: avail + used, used, avail };
    } catch {
      return undefined;
    }
  }

  path(volume: string): string {
    const { pool, options } = this.#config;
    const { name, format } = parseName(volume);
    return format === 'subvol' ? `${options['mountpoint'] ?? `/${pool}`}/${name}` : `/dev/zvol/${pool}/${name}`;
  }

  file(volume: string): string {
    return this.path(volume);
  }

  owner(volume: string): number {
    return parseName(volume).vmid;
  }

  async stat(volume: string): Promise<Volume> {
    const { name, vmid, format } = parseName(volume);
    const property = format === 'subvol' ? 'refquota' : 'volsize';
    const [size, used] = await this.#datasets.get(this.#dataset(name), property, 'usedbydataset');
    return { volid: `${this.#id}:${volume}`, format, size: Number(size), used: Number(used), vmid };
  }

  async images(vmid?: number): Promise<Volume[]> {
    const { pool } = this.#config;
    const all = await this.#datasets.children(pool);
    return all
      .map((dataset) => this.#listed(dataset))
      .filter((volume) => volume !== undefined)
      .filter((volume) => vmid === undefined || volume.vmid === vmid);
  }

  files(): Volume[] {
    return [];
  }

  async allocate({ vmid, format, size, name }: Allocation): Promise<string> {
    const { options } = this.#config;
    if (format !== 'raw' && format !== 'subvol') throw fault(`unsupported format '${format}'`);
    const prefix = format === 'raw' ? 'vm' : 'subvol';
    if (name !== undefined && !name.startsWith(`${prefix}-${vmid}-`))
      throw fault(`illegal name '${name}' - should be '${prefix}-${vmid}-*'`);
    const volume = name ?? (await this.#freeName(vmid, prefix));
    const dataset = this.#dataset(volume);
    if (format === 'subvol') {
      const properties = { acltype: 'posixacl', xattr: 'sa', refquota: quotaText(size) };
      await this.#datasets.createFilesystem(dataset, properties);
      return volume;
    }
    await this.#datasets.createVolume(dataset, {
      size: Math.ceil(size / MIB) * MIB,
      sparse: options['sparse'] === 1,
      ...(options['blocksize'] === undefined ? {} : { blocksize: String(options['blocksize']) }),
    });
    await this.#datasets.link(dataset);
    return volume;
  }

  async free(volume: string): Promise<void> {
    if (await this.isBaseInUse(volume)) throw fault(`base volume '${volume}' is still in use by linked clones`);
    const { name } = parseName(volume);
    for (let attempt = 1; ; attempt += 1) {
      try {
        await this.#datasets.destroy(this.#dataset(name));
        return;
      } catch (error) {
        const message = messageOf(error);
        if (message.includes('dataset does not exist')) return;
        if (!message.includes('dataset is busy') || attempt === TRIES) throw error;
      }
      await sleep(BETWEEN);
    }
  }

  async resize(volume: string, size: number): Promise<void> {
    const { name, format } = parseName(volume);
    const kibibytes = Math.ceil(size / 1024);
    if (format === 'subvol') await this.#datasets.set(this.#dataset(name), 'refquota', `${kibibytes}k`);
    else await this.#datasets.set(this.#dataset(name), 'volsize', `${Math.ceil(kibibytes / 1024) * 1024}k`);
  }

  async makeBase(volume: string): Promise<string> {
    const { name, base, format, origin } = parseName(volume);
    if (base) throw fault('create_base not possible with base image');
    const renamed = format === 'subvol' ? name.replace(/^subvol-/, 'basevol-') : name.replace(/^vm-/, 'base-');
    await this.#datasets.rename(this.#dataset(name), this.#dataset(renamed));
    await this.snapshot(renamed, BASE);
    return origin === undefined ? renamed : `${origin}/${renamed}`;
  }

  async clone(volume: string, vmid: number): Promise<string> {
    const { name: origin, base, format } = parseName(volume);
    if (!base) throw fault('clone_image only works on base images');
    const name = await this.#freeName(vmid, format === 'raw' ? 'vm' : 'subvol');
    const properties: Record<string, string> = {};
    if (format === 'subvol') {
      const [quota] = await this.#datasets.get(this.#dataset(origin), 'refquota');
      properties['refquota'] = quotaText(Number(quota));
    }
    await this.#datasets.clone(`${this.#dataset(origin)}@${BASE}`, this.#dataset(name), properties);
    return `${origin}/${name}`;
  }

  async isBaseInUse(volume: string): Promise<boolean> {
    const { name, base } = parseName(volume);
    return base && (await this.images()).some(({ volid }) => volid.startsWith(`${this.#id}:${name}/`));
  }

  has(feature: Feature, volume: string, { snapshot }: FeatureOptions): boolean {
    const state = parseName(volume).base ? 'base' : 'current';
    return features[feature].includes(snapshot === undefined ? state : 'snapshot');
  }

  async snapshot(volume: string, snapshot: string): Promise<void> {
    const { name, format } = parseName(volume);
    const properties: Record<string, string> = {};
    if (format === 'subvol' && this.#keepsQuota) {
      const [quota = ''] = await this.#datasets.get(this.#dataset(name), 'refquota');
      properties[KEPT_QUOTA] = quota;
    }
    await this.#datasets.snapshot(this.snapshotOf(volume, snapshot), properties);
  }

  async deleteSnapshot(volume: string, snapshot: string): Promise<void> {
    await this.#datasets.destroySnapshot(this.snapshotOf(volume, snapshot));
  }

  async checkRollback(volume: string, snapshot: string): Promise<void> {
    const snapshots = await this.#datasets.snapshots(this.#dataset(parseName(volume).name));
    const volid = `${this.#id}:${volume}`;
    const index = snapshots.indexOf(snapshot);
    if (index < 0) throw fault(`can't rollback, snapshot '${snapshot}' does not exist on '${volid}'`);
    if (index < snapshots.length - 1)
      throw fault(`can't rollback, '${snapshot}' is not most recent snapshot on '${volid}'`);
  }

  async rollback(volume: string, snapshot: string): Promise<void> {
    const { name, format } = parseName(volume);
    const dataset = this.#dataset(name);
    const kept = this.snapshotOf(volume, snapshot);
    await this.#datasets.rollback(kept);
    if (format !== 'subvol') return;
    const [quota = ''] = this.#keepsQuota ? await this.#datasets.get(kept, KEPT_QUOTA) : [];
    if (/^\d+$/.test(quota)) await this.#datasets.set(dataset, 'refquota', quotaText(Number(quota)));
    // What the kernel has cached of it is of the time before.
    await this.#datasets.unmount(dataset).catch((error: unknown) => {
      if (!messageOf(error).endsWith('not currently mounted')) throw error;
    });
  }

  snapshotOf(volume: string, snapshot: string): string {
    return `${this.#dataset(parseName(volume).name)}@${snapshot}`;
  }

  async activateVolume(volume: string): Promise<void> {
    const { name, format } = parseName(volume);
    const dataset = this.#dataset(name);
    if (format === 'raw') {
      await this.#datasets.link(dataset);
      return;
    }
    if (!this.#datasets.mounted(dataset)) await this.#datasets.mount(dataset);
  }

  #dataset(name: string): string {
    return `${this.#config.pool}/${name}`;
  }

  #listed({ name: dataset, type, size, origin }: Dataset): Volume | undefined {
    const below = `${this.#config.pool}/`;
    const name = dataset.slice(below.length);
    if (!dataset.startsWith(below) || !isVolume(name)) return undefined;
    const parent = origin?.startsWith(below) === true ? origin.slice(below.length) : (origin ?? null);
    const [, base] = /^(\S+)@__base__$/.exec(parent ?? '') ?? [];
    const volume = base === undefined ? name : `${base}/${name}`;
    const format = type === 'volume' ? 'raw' : 'subvol';
    return { volid: `${this.#id}:${volume}`, name, format, size, parent, vmid: parseName(name).vmid };
  }

  async #freeName(vmid: number, prefix: string): Promise<string> {
    const images = await this.images(vmid);
    const own = new RegExp(`(?:vm|base|subvol|basevol)-${vmid}-disk-(\\d+)`);
    const taken = new Set(images.map(({ volid }) => own.exec(volid)?.[1]));
    let number = 0;
    while (taken.has(String(number))) number += 1;
    return `${prefix}-${vmid}-disk-${number}`;
  }
}
