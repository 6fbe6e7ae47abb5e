import { invalidArgument, notFound } from '../../../core/model/errors.ts';
import type { IdRange } from '../../../core/model/id-range.ts';
import type { Remains, Rootfs, RootfsOptions, Usage } from '../../../core/model/rootfs.ts';
import { gatheredRead } from '../../../utils/async/gathered-read.ts';
import { type Entry, numberOf, ownValueOf } from '../answers/properties.ts';
import type { Backing, OpenOptions, Origin } from '../backing/backing.ts';
import type { CallOptions } from '../commands.ts';
import { isKind } from '../errors/zfs-error.ts';
import type { LayerIndex } from '../layers/layer-index.ts';
import { datasetOf } from '../names.ts';
import type { Settings, Zfs } from '../zfs.ts';
import { readUsage } from './read-usage.ts';
import type { GuestVolumes } from './guest-volumes.ts';
import { foreign, ID, type Kind, type Layout, PROPERTY, text } from './layout.ts';
import { destroyOrMark, REMOVAL_PROPERTIES, remainsOf, sweepRemoved } from './removal.ts';

/** What tells whose root filesystem a dataset is. */
const IDENTIFYING = [PROPERTY.kind, PROPERTY.container, PROPERTY.root];
const READ = [...IDENTIFYING, PROPERTY.chain, PROPERTY.readonly, PROPERTY.ids];

/** What makes a root filesystem the one that was asked for. */
interface Identity {
  chainId: string | undefined;
  readonly: boolean;
  ids: string | undefined;
}

/** Root filesystems: each a clone of the snapshot of the top layer, with properties that say whose it is. */
export class RootfsDatasets {
  readonly #zfs: Zfs;
  readonly #layout: Layout;
  readonly #backing: Backing;
  readonly #layers: LayerIndex;
  readonly #guests: GuestVolumes | undefined;
  /** Ids of those in the store's own dataset that are known to belong to it. */
  readonly #own = new Set<string>();
  readonly #usages = gatheredRead((ids) => this.#readUsages(ids));

  constructor({
    zfs,
    layout,
    backing,
    layers,
    guests,
  }: {
    zfs: Zfs;
    layout: Layout;
    backing: Backing;
    layers: LayerIndex;
    /** Where those of guests are; undefined: with the others. */
    guests: GuestVolumes | undefined;
  }) {
    this.#zfs = zfs;
    this.#layout = layout;
    this.#backing = backing;
    this.#layers = layers;
    this.#guests = guests;
  }

  /** As RootfsStore.prepare. One command, where it does not exist and belongs to no guest. */
  async prepare(id: string, chainId: string | undefined, options: RootfsOptions): Promise<Rootfs> {
    const { readonly = false, ids } = options;
    if (!ID.test(id)) throw invalidArgument('rootfs id', `${JSON.stringify(id)} is not a valid name`);
    if (ids !== undefined) await this.#backing.needMappedIds();
    const identity: Identity = { chainId, readonly, ids: ids && `${String(ids.hostId)},${String(ids.size)}` };
    const isKnown = this.#own.has(id) || (await this.#guests?.find(id)) !== undefined;
    const found = isKnown ? await this.#find(id) : undefined;
    if (found !== undefined) compare(id, found, identity);
    const name = found?.name ?? (await this.#place(id, identity, options));
    return this.#open(name, identity, { isNew: true, signal: options.signal });
  }

  /** As RootfsStore.get. */
  async get(id: string): Promise<Rootfs | undefined> {
    const found = ID.test(id) ? await this.#find(id) : undefined;
    return found && this.#open(found.name, found, { isNew: false });
  }

  /** Where it is, and the image it is a clone of. @throws CriError NOT_FOUND when it does not exist. */
  async locate(id: string): Promise<{ dataset: string; chainId: string | undefined }> {
    const found = ID.test(id) ? await this.#find(id) : undefined;
    if (found === undefined) throw notFound('root filesystem', id);
    return { dataset: found.name, chainId: found.chainId };
  }

  /** Names of the snapshots of this kind of all root filesystems, also of those that are removed and still in use. */
  async snapshots(kind: Kind): Promise<string[]> {
    const own = new Set((await this.#entries([PROPERTY.kind])).map(({ name }) => name));
    const places = [this.#layout.rootfs, ...(this.#guests === undefined ? [] : [this.#guests.storage])];
    const lists = places.map((place) => this.#zfs.list(place, [PROPERTY.kind], { types: ['snapshot'] }));
    const entries = (await Promise.all(lists)).flat();
    return entries
      .filter((entry) => own.has(datasetOf(entry.name)) && ownValueOf(entry, PROPERTY.kind) === kind)
      .map(({ name }) => name);
  }

  /** The dataset of a root filesystem, read once. @throws CriError NOT_FOUND; FAILED_PRECONDITION for a foreign dataset. */
  async datasetOf(id: string): Promise<string> {
    const own = this.#layout.rootfsOf(id);
    if (this.#own.has(id)) return own;
    const { dataset } = await this.locate(id);
    if (dataset === own) this.#own.add(id);
    return dataset;
  }

  /**
   * Destroys a root filesystem with its snapshots; no error when there is none. One that is in use is destroyed by {@link sweep}.
   * @throws CriError for a foreign dataset, and where the store's own datasets are missing.
   */
  async remove(id: string): Promise<void> {
    if (!ID.test(id)) return;
    // The name of a guest's volume may be another's by now.
    const name = this.#own.has(id) ? this.#layout.rootfsOf(id) : (await this.#find(id))?.name;
    const wasThere = name !== undefined && (await destroyOrMark(this.#zfs, name));
    if (!wasThere) await this.#layout.needPresent(this.#zfs);
    this.#own.delete(id);
    await this.#guests?.forget(id);
  }

  /** Destroys those that were in use when they were removed, unless they still are. */
  async sweep(): Promise<void> {
    await sweepRemoved(this.#zfs, await this.#entries(REMOVAL_PROPERTIES));
  }

  /** Ids of the root filesystems, without datasets of others. */
  async list(): Promise<string[]> {
    return (await this.#list([])).map(({ id }) => id);
  }

  /** Chain ids of the layers that they are clones of, also of those that are removed and still in use. */
  async chains(): Promise<Set<string>> {
    const entries = await this.#entries([PROPERTY.chain]);
    return new Set(entries.flatMap((entry) => ownValueOf(entry, PROPERTY.chain) ?? []));
  }

  /** Those that were in use when they were removed. */
  async remains(): Promise<Remains[]> {
    return remainsOf(await this.#entries(REMOVAL_PROPERTIES));
  }

  /** What it uses beyond its image. Concurrent calls share commands. */
  async usage(id: string): Promise<Usage | undefined> {
    return this.#usages(id);
  }

  async #readUsages(ids: readonly string[]): Promise<Map<string, Usage>> {
    const all = await this.#present(ids, ['used', PROPERTY.chain, this.#backing.objects]);
    const counts = await this.#backing.count(all.map(({ entry }) => entry));
    return new Map(
      all.map(({ id, entry }) => {
        const inodes = this.#inodes(counts.get(entry.name) ?? 0n, ownValueOf(entry, PROPERTY.chain));
        return [id, { bytes: numberOf(entry, 'used') ?? 0n, inodes }];
      }),
    );
  }

  async #list(properties: readonly string[]): Promise<{ id: string; entry: Entry }[]> {
    return this.#identified(await this.#entries([...properties, ...IDENTIFYING]));
  }

  /** Those of these ids that exist. */
  async #present(ids: readonly string[], properties: readonly string[]): Promise<{ id: string; entry: Entry }[]> {
    const wanted = ids.filter((id) => ID.test(id));
    const names = await Promise.all(wanted.map((id) => this.#nameOf(id)));
    const list = this.#entries.bind(this);
    return this.#identified(await readUsage(this.#zfs, names, [...properties, ...IDENTIFYING], list));
  }

  /** The root filesystems among datasets that were read with {@link IDENTIFYING}. */
  #identified(entries: readonly Entry[]): { id: string; entry: Entry }[] {
    const below = `${this.#layout.rootfs}/`;
    const rootfs = entries.filter((entry) => ownValueOf(entry, PROPERTY.kind) === ('rootfs' satisfies Kind));
    return rootfs.flatMap((entry) => {
      const { name } = entry;
      if (name.startsWith(below)) return [{ id: name.slice(below.length), entry }];
      const id = ownValueOf(entry, PROPERTY.container);
      return id !== undefined && this.#guests?.isOwn(entry, id) === true ? [{ id, entry }] : [];
    });
  }

  /** The datasets of all places where root filesystems are; of the store's own place also those of others. */
  async #entries(properties: readonly string[], call?: CallOptions): Promise<Entry[]> {
    const own = this.#zfs.list(this.#layout.rootfs, properties, { ...call, depth: 1 });
    const all = await Promise.all([own, this.#guests?.list(properties, call) ?? []]);
    return all.flat();
  }

  /** Those that it has more than its image, which is removed where its layer is not known. */
  #inodes(objects: bigint, chainId: string | undefined): bigint {
    const isKnown = chainId === undefined || this.#layers.get(chainId) !== undefined;
    const below = isKnown ? this.#layers.originOf(chainId).objects : 0n;
    return objects < below ? 0n : objects - below;
  }

  /** Creates it, and returns the name of its dataset. */
  #place(id: string, identity: Identity, options: RootfsOptions): Promise<string> {
    const guest = options.owner?.guest;
    if (this.#guests === undefined || guest === undefined) return this.#createOwn(id, identity, options);
    return this.#guests.create(id, guest, (name) => this.#create(id, name, identity, options));
  }

  /** In the store's own place, where the name is the id. */
  async #createOwn(id: string, identity: Identity, options: RootfsOptions): Promise<string> {
    const name = this.#layout.rootfsOf(id);
    try {
      await this.#create(id, name, identity, options);
    } catch (error) {
      const existing = isKind(error, 'alreadyExists') ? await this.#find(id) : undefined;
      if (existing === undefined) throw error;
      compare(id, existing, identity);
    }
    this.#own.add(id);
    return name;
  }

  async #create(id: string, name: string, identity: Identity, options: RootfsOptions): Promise<void> {
    const { signal } = options;
    const origin = this.#layers.originOf(identity.chainId);
    const settings = this.#settings(id, name, identity, origin, options);
    try {
      await this.#zfs.clone(origin.snapshot, name, { settings, signal });
    } catch (error) {
      // What was cut off may be done.
      if (signal?.aborted === true && (await this.#look(id, name)) !== undefined) await destroyOrMark(this.#zfs, name);
      throw error;
    }
  }

  #settings(id: string, name: string, identity: Identity, origin: Origin, { owner, limits }: RootfsOptions): Settings {
    const { chainId, readonly, ids } = identity;
    const isOwn = name === this.#layout.rootfsOf(id);
    return {
      // What the store's own dataset passes on.
      ...(!isOwn && { ...this.#backing.own, [PROPERTY.root]: this.#layout.root }),
      [PROPERTY.kind]: 'rootfs' satisfies Kind,
      [PROPERTY.container]: id,
      ...(chainId !== undefined && { [PROPERTY.chain]: chainId }),
      ...(ids !== undefined && { [PROPERTY.ids]: ids }),
      ...(readonly && { [PROPERTY.readonly]: 'on', readonly: 'on' }),
      ...(owner !== undefined && { [PROPERTY.pod]: text(owner.pod), [PROPERTY.image]: text(owner.image) }),
      ...(!readonly && this.#backing.limited(limits ?? {}, origin, !isOwn)),
    };
  }

  async #open(name: string, { readonly, ids }: Identity, options: Omit<OpenOptions, 'readonly'>): Promise<Rootfs> {
    const rootfs = await this.#backing.open(name, { readonly, ...options });
    const range = rangeOf(ids);
    return range === undefined ? rootfs : { ...rootfs, ids: range };
  }

  /** What exists under an id; undefined when nothing does. @throws CriError for a foreign dataset. */
  async #find(id: string): Promise<(Identity & { name: string }) | undefined> {
    return this.#look(id, await this.#nameOf(id));
  }

  async #nameOf(id: string): Promise<string> {
    return (await this.#guests?.find(id)) ?? this.#layout.rootfsOf(id);
  }

  async #look(id: string, name: string): Promise<(Identity & { name: string }) | undefined> {
    const entry = await this.#read(name);
    const kind = entry && ownValueOf(entry, PROPERTY.kind);
    if (entry === undefined || kind === ('removed' satisfies Kind)) return undefined;
    if (name !== this.#layout.rootfsOf(id) && this.#guests?.isOwn(entry, id) !== true) return undefined;
    if (kind !== ('rootfs' satisfies Kind)) throw foreign(name);
    return {
      name,
      chainId: ownValueOf(entry, PROPERTY.chain),
      readonly: ownValueOf(entry, PROPERTY.readonly) === 'on',
      ids: ownValueOf(entry, PROPERTY.ids),
    };
  }

  async #read(name: string): Promise<Entry | undefined> {
    try {
      return (await this.#zfs.get([name], READ))[0];
    } catch (error) {
      if (isKind(error, 'notFound')) return undefined;
      throw error;
    }
  }
}

function compare(id: string, existing: Identity, wanted: Identity): void {
  if (existing.chainId !== wanted.chainId) throw invalidArgument('rootfs id', `${id} exists with another image`);
  if (existing.readonly !== wanted.readonly) throw invalidArgument('rootfs id', `${id} exists with another access`);
  if (existing.ids !== wanted.ids) throw invalidArgument('rootfs id', `${id} exists with other ids`);
}

function rangeOf(ids: string | undefined): IdRange | undefined {
  const [, hostId, size] = /^(\d{1,10}),(\d{1,10})$/.exec(ids ?? '') ?? [];
  return hostId === undefined ? undefined : { hostId: Number(hostId), size: Number(size) };
}
