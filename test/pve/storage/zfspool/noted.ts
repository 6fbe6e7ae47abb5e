import { fault } from '../../http/api-error.ts';
import type { NotedDataset, Store } from '../../state/store.ts';
import type { Dataset, Datasets, NewVolume, Properties } from './datasets.ts';

/** What every noted pool holds, in bytes. */
const CAPACITY = 100 * 1024 ** 3;
/** What an empty dataset takes. */
const EMPTY = 98_304;

function failed(what: string): never {
  throw fault(`zfs error: ${what}`);
}

function bytes(text: string): number {
  const [, number = '0', unit] = /^(\d+)(k?)$/.exec(text) ?? [];
  return Number(number) * (unit === 'k' ? 1024 : 1);
}

/** Datasets that are notes in the cluster's store. Pools exist as soon as they are named, unless one is noted as missing. */
export class NotedDatasets implements Datasets {
  readonly #store: Store;
  readonly #save: () => void;

  /** @param save keeps the store; it is called after each change */
  constructor(store: Store, save: () => void) {
    this.#store = store;
    this.#save = save;
  }

  mounted(dataset: string): boolean {
    const noted = this.#all[dataset];
    const is = noted === undefined ? this.#isOfStorage(dataset) : noted.properties['mounted'] === 'yes';
    return is && this.#isImported(dataset);
  }

  async imported(pool: string): Promise<boolean> {
    return this.#isImported(pool);
  }

  async importPool(pool: string): Promise<void> {
    if (!this.#isImported(pool)) failed(`cannot import '${pool}': no such pool available`);
  }

  mountAll(): Promise<void> {
    return Promise.resolve();
  }

  async get(name: string, ...properties: string[]): Promise<string[]> {
    const [dataset = '', snapshot] = name.split('@');
    const found = this.#all[dataset];
    if (found === undefined) return this.#ofParent(name, properties);
    const of = snapshot === undefined ? found.properties : found.snapshots[snapshot];
    return properties.map((property) => of?.[property] ?? '-');
  }

  async set(dataset: string, property: string, value: string): Promise<void> {
    const sized = property === 'refquota' || property === 'volsize';
    this.#find(dataset).properties[property] = sized ? String(value === 'none' ? 0 : bytes(value)) : value;
    this.#save();
  }

  async children(dataset: string): Promise<Dataset[]> {
    this.#requireImported(dataset);
    return Object.entries(this.#all)
      .filter(([name]) => name.startsWith(`${dataset}/`) && !name.slice(dataset.length + 1).includes('/'))
      .map(([name, { type, properties, origin }]) => ({
        name,
        type,
        size: Number(properties[type === 'volume' ? 'volsize' : 'refquota']),
        ...(origin === undefined ? {} : { origin }),
      }))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  async createFilesystem(dataset: string, properties: Properties): Promise<void> {
    this.#add(dataset, { type: 'filesystem', properties: { mounted: 'yes', refquota: '0' }, snapshots: {} });
    for (const [name, value] of Object.entries(properties)) await this.set(dataset, name, value);
  }

  async createVolume(dataset: string, { size, sparse, blocksize }: NewVolume): Promise<void> {
    const reserved = sparse ? 0 : size;
    const { available } = this.#room(dataset);
    if (reserved > available) failed(`cannot create '${dataset}': out of space`);
    const properties = {
      volsize: String(size),
      refreservation: String(reserved),
      ...(blocksize === undefined ? {} : { volblocksize: blocksize }),
    };
    this.#add(dataset, { type: 'volume', properties, snapshots: {} });
  }

  async destroy(dataset: string): Promise<void> {
    this.#find(dataset);
    Reflect.deleteProperty(this.#all, dataset);
    this.#save();
  }

  async destroySnapshot(snapshot: string): Promise<void> {
    const [dataset = '', name = ''] = snapshot.split('@');
    const { snapshots } = this.#find(dataset);
    if (!(name in snapshots)) failed('could not find any snapshots to destroy; check snapshot names.');
    Reflect.deleteProperty(snapshots, name);
    this.#save();
  }

  async rename(dataset: string, name: string): Promise<void> {
    this.#add(name, this.#find(dataset));
    Reflect.deleteProperty(this.#all, dataset);
    this.#save();
  }

  async clone(snapshot: string, dataset: string, properties: Properties): Promise<void> {
    const [origin = ''] = snapshot.split('@');
    const { type, properties: original } = this.#find(origin);
    const own = type === 'volume' ? { volsize: original['volsize']! } : { mounted: 'yes', refquota: '0' };
    this.#add(dataset, { type, properties: own, snapshots: {}, origin: snapshot });
    for (const [name, value] of Object.entries(properties)) await this.set(dataset, name, value);
  }

  async snapshot(snapshot: string, given: Properties): Promise<void> {
    const [dataset = '', name = ''] = snapshot.split('@');
    // What zfs says last then: it prints its usage.
    const { snapshots, properties } =
      this.#all[dataset] ?? failed('For further help on a command or topic, run: zfs help [<topic>]');
    if (name in snapshots) failed(`cannot create snapshot '${snapshot}': dataset already exists`);
    const { volsize } = properties;
    snapshots[name] = { ...(volsize === undefined ? {} : { volsize }), ...given };
    this.#save();
  }

  async snapshots(dataset: string): Promise<string[]> {
    return Object.keys(this.#find(dataset).snapshots);
  }

  async rollback(snapshot: string): Promise<void> {
    const [dataset = '', name = ''] = snapshot.split('@');
    const { snapshots, properties } = this.#find(dataset);
    const { volsize } = snapshots[name] ?? {};
    if (volsize !== undefined) properties['volsize'] = volsize;
    this.#save();
  }

  async mount(dataset: string): Promise<void> {
    this.#find(dataset).properties['mounted'] = 'yes';
  }

  async unmount(dataset: string): Promise<void> {
    this.#find(dataset).properties['mounted'] = 'no';
  }

  async link(dataset: string): Promise<void> {
    this.#find(dataset);
  }

  get #all(): Record<string, NotedDataset> {
    return (this.#store.datasets ??= {});
  }

  #isImported(dataset: string): boolean {
    return this.#store.missingPools?.includes(dataset.split('/')[0]!) !== true;
  }

  #isOfStorage(dataset: string): boolean {
    return Object.values(this.#store.storages).some((of) => of.type === 'zfspool' && of.pool === dataset);
  }

  #requireImported(dataset: string): void {
    if (!this.#isImported(dataset)) failed(`cannot open '${dataset}': dataset does not exist`);
  }

  #find(dataset: string): NotedDataset {
    this.#requireImported(dataset);
    return this.#all[dataset] ?? failed(`cannot open '${dataset}': dataset does not exist`);
  }

  #add(dataset: string, noted: NotedDataset): void {
    this.#requireImported(dataset);
    if (dataset in this.#all) failed(`cannot create '${dataset}': dataset already exists`);
    noted.properties['usedbydataset'] = String(EMPTY);
    this.#all[dataset] = noted;
    this.#save();
  }

  /** Of a dataset that volumes are below: what nobody made, but a storage names. */
  #ofParent(dataset: string, properties: readonly string[]): string[] {
    this.#requireImported(dataset);
    if (!this.#isOfStorage(dataset)) failed(`cannot open '${dataset}': dataset does not exist`);
    const room = this.#room(dataset);
    const values: Properties = {
      available: String(room.available),
      used: String(room.used),
      mountpoint: `/${dataset}`,
    };
    return properties.map((property) => values[property] ?? '-');
  }

  #room(dataset: string): { available: number; used: number } {
    const [pool = ''] = dataset.split('/');
    const used = Object.entries(this.#all)
      .filter(([name]) => name.startsWith(`${pool}/`))
      .reduce((sum, [, { properties }]) => sum + EMPTY + Number(properties['refreservation'] ?? 0), EMPTY);
    return { used, available: CAPACITY - used };
  }
}
