import { failedPrecondition, invalidArgument, notFound } from '../../../core/model/errors.ts';
import type { IdRange } from '../../../core/model/id-range.ts';
import type { Remains, Rootfs, RootfsLimits, RootfsOptions, Usage } from '../../../core/model/rootfs.ts';
import { sharedRead } from '../../../utils/async/shared-read.ts';
import { type Entry, numberOf, ownValueOf } from '../answers/properties.ts';
import { isAtLeast, WITH_MAPPED_IDS } from '../answers/version.ts';
import { isKind } from '../errors/zfs-error.ts';
import { datasetOf } from '../names.ts';
import type { Settings, Zfs } from '../zfs.ts';
import type { GuestVolumes } from './guest-volumes.ts';
import type { LayerDatasets } from './layer-datasets.ts';
import { FILESYSTEM, foreign, type Kind, type Layout, OBJECTS, PROPERTY, text } from './layout.ts';
import { destroyOrMark, REMOVAL_PROPERTIES, remainsOf, sweepRemoved } from './removal.ts';

/** A component of a dataset's name, and a file name. */
const ID = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/;
/** Milliseconds in which requests for usage are collected for one command: a server measures all its containers at once. */
const GATHER_MS = 5;
const READ = [PROPERTY.kind, PROPERTY.container, PROPERTY.root, PROPERTY.chain, PROPERTY.readonly, PROPERTY.ids];

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
  readonly #layers: LayerDatasets;
  readonly #guests: GuestVolumes | undefined;
  /** Ids of those in the store's own dataset that are known to belong to it. */
  readonly #own = new Set<string>();
  readonly #usages = sharedRead(GATHER_MS, () => this.#readUsages());

  constructor({
    zfs,
    layout,
    layers,
    guests,
  }: {
    zfs: Zfs;
    layout: Layout;
    layers: LayerDatasets;
    /** Where those of guests are; undefined: with the others. */
    guests: GuestVolumes | undefined;
  }) {
    this.#zfs = zfs;
    this.#layout = layout;
    this.#layers = layers;
    this.#guests = guests;
  }

  /** As RootfsStore.prepare. One command, where it does not exist and belongs to no guest. */
  async prepare(id: string, chainId: string | undefined, options: RootfsOptions): Promise<Rootfs> {
    const { readonly = false, ids, owner } = options;
    if (!ID.test(id)) throw invalidArgument('rootfs id', `${JSON.stringify(id)} is not a valid name`);
    if (ids !== undefined) await this.#needMappedIds();
    const identity: Identity = { chainId, readonly, ids: ids && `${String(ids.hostId)},${String(ids.size)}` };
    const isKnown = this.#own.has(id) || (await this.#guests?.find(id)) !== undefined;
    const found = isKnown ? await this.#find(id) : undefined;
    if (found !== undefined) {
      compare(id, found, identity);
      return valueOf(found.name, identity);
    }
    if (this.#guests === undefined || owner?.guest === undefined) return this.#createOwn(id, identity, options);
    const make = (name: string) => this.#create(id, name, identity, options);
    return valueOf(await this.#guests.create(id, owner.guest, make), identity);
  }

  /** As RootfsStore.get. */
  async get(id: string): Promise<Rootfs | undefined> {
    const found = ID.test(id) ? await this.#find(id) : undefined;
    return found && valueOf(found.name, found);
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
   * @throws CriError for a foreign dataset.
   */
  async remove(id: string): Promise<void> {
    if (!ID.test(id)) return;
    // The name of a guest's volume may be another's by now.
    const name = this.#own.has(id) ? this.#layout.rootfsOf(id) : (await this.#find(id))?.name;
    if (name !== undefined) await destroyOrMark(this.#zfs, name);
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

  /** What it uses beyond its image. Concurrent calls share a command. */
  async usage(id: string): Promise<Usage | undefined> {
    return (await this.#usages()).get(id);
  }

  async #readUsages(): Promise<Map<string, Usage>> {
    const all = await this.#list(['used', OBJECTS, PROPERTY.chain]);
    return new Map(
      all.map(({ id, entry }) => [id, { bytes: numberOf(entry, 'used') ?? 0n, inodes: this.#inodes(entry) }]),
    );
  }

  async #list(properties: readonly string[]): Promise<{ id: string; entry: Entry }[]> {
    const entries = await this.#entries([...properties, PROPERTY.kind, PROPERTY.container]);
    const own = entries.filter((entry) => ownValueOf(entry, PROPERTY.kind) === ('rootfs' satisfies Kind));
    const below = `${this.#layout.rootfs}/`;
    return own.flatMap((entry) => {
      const { name } = entry;
      const id = name.startsWith(below) ? name.slice(below.length) : ownValueOf(entry, PROPERTY.container);
      return id === undefined ? [] : [{ id, entry }];
    });
  }

  /** The datasets of all places where root filesystems are; of the store's own place also those of others. */
  async #entries(properties: readonly string[]): Promise<Entry[]> {
    const own = this.#zfs.list(this.#layout.rootfs, properties, { depth: 1 });
    const all = await Promise.all([own, this.#guests?.list(properties) ?? []]);
    return all.flat();
  }

  /** What it has more than its image, or than an empty filesystem, whose root is one. */
  #inodes(entry: Entry): bigint {
    const objects = numberOf(entry, OBJECTS) ?? 0n;
    const chainId = ownValueOf(entry, PROPERTY.chain);
    const below = chainId === undefined ? 1n : (this.#layers.get(chainId)?.objects ?? 0n);
    return objects < below ? 0n : objects - below;
  }

  async #needMappedIds(): Promise<void> {
    const { tools, module = tools } = await this.#zfs.versions();
    if (isAtLeast(module, WITH_MAPPED_IDS)) return;
    const { major, minor } = WITH_MAPPED_IDS;
    throw failedPrecondition(
      `OpenZFS ${module.text} has no idmapped mounts, which user namespaces need; install OpenZFS ${major}.${minor} or later`,
    );
  }

  /** In the store's own place, where the name is the id. */
  async #createOwn(id: string, identity: Identity, options: RootfsOptions): Promise<Rootfs> {
    const name = this.#layout.rootfsOf(id);
    try {
      await this.#create(id, name, identity, options);
    } catch (error) {
      const existing = isKind(error, 'alreadyExists') ? await this.#find(id) : undefined;
      if (existing === undefined) throw error;
      compare(id, existing, identity);
    }
    this.#own.add(id);
    return valueOf(name, identity);
  }

  async #create(id: string, name: string, identity: Identity, options: RootfsOptions): Promise<void> {
    const { chainId } = identity;
    const { signal } = options;
    const settings = this.#settings(id, name, identity, options);
    try {
      if (chainId === undefined) await this.#zfs.createFilesystem(name, { settings, signal });
      else await this.#zfs.clone(this.#layers.snapshotOf(chainId), name, { settings, signal });
    } catch (error) {
      // What was cut off may be done.
      if (signal?.aborted === true && (await this.#look(id, name)) !== undefined) await destroyOrMark(this.#zfs, name);
      throw error;
    }
  }

  #settings(
    id: string,
    name: string,
    { chainId, readonly, ids }: Identity,
    { owner, limits }: RootfsOptions,
  ): Settings {
    const isOwn = name === this.#layout.rootfsOf(id);
    return {
      // What the store's own dataset passes on.
      ...(!isOwn && { ...FILESYSTEM, [PROPERTY.root]: this.#layout.root }),
      [PROPERTY.kind]: 'rootfs' satisfies Kind,
      [PROPERTY.container]: id,
      ...(chainId !== undefined && { [PROPERTY.chain]: chainId }),
      ...(ids !== undefined && { [PROPERTY.ids]: ids }),
      ...(readonly && { [PROPERTY.readonly]: 'on', readonly: 'on' }),
      ...(owner !== undefined && { [PROPERTY.pod]: text(owner.pod), [PROPERTY.image]: text(owner.image) }),
      ...(!readonly && limits !== undefined && this.#limits(limits, chainId, isOwn)),
    };
  }

  /** Proxmox shows `refquota` as the size of a volume, of which the image is a part; `quota` is what limits. */
  #limits({ quotaBytes, reservationBytes }: RootfsLimits, chainId: string | undefined, isOwn: boolean): Settings {
    const image = chainId === undefined ? 0n : (this.#layers.get(chainId)?.referenced ?? 0n);
    return {
      ...(quotaBytes !== undefined && { quota: String(quotaBytes) }),
      ...(quotaBytes !== undefined && !isOwn && { refquota: String(quotaBytes + image) }),
      ...(reservationBytes !== undefined && { reservation: String(reservationBytes) }),
    };
  }

  /** What exists under an id; undefined when nothing does. @throws CriError for a foreign dataset. */
  async #find(id: string): Promise<(Identity & { name: string }) | undefined> {
    return this.#look(id, (await this.#guests?.find(id)) ?? this.#layout.rootfsOf(id));
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

function valueOf(source: string, { readonly, ids }: Identity): Rootfs {
  const mounts = [{ type: 'zfs', source, options: readonly ? ['ro'] : [], target: '' }];
  const range = rangeOf(ids);
  return range === undefined ? { mounts } : { mounts, ids: range };
}

function rangeOf(ids: string | undefined): IdRange | undefined {
  const [, hostId, size] = /^(\d{1,10}),(\d{1,10})$/.exec(ids ?? '') ?? [];
  return hostId === undefined ? undefined : { hostId: Number(hostId), size: Number(size) };
}
