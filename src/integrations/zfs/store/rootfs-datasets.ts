import { setTimeout as sleep } from 'node:timers/promises';
import { failedPrecondition, invalidArgument } from '../../../core/model/errors.ts';
import type { IdRange } from '../../../core/model/id-range.ts';
import type { Remains, Rootfs, RootfsOptions, Usage } from '../../../core/model/rootfs.ts';
import { mountPointsBySource } from '../../../host/mounts/mount.ts';
import { type Entry, numberOf, ownValueOf } from '../answers/properties.ts';
import { isAtLeast, WITH_MAPPED_IDS } from '../answers/version.ts';
import { isKind } from '../errors/zfs-error.ts';
import type { Settings, Zfs } from '../zfs.ts';
import type { LayerDatasets } from './layer-datasets.ts';
import { objectsOf } from './objects.ts';
import { foreign, type Kind, type Layout, PROPERTY } from './layout.ts';

/** A component of a dataset's name, and a file name. */
const ID = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/;
/** Milliseconds in which requests for usage are collected for one command: a server measures all its containers at once. */
const GATHER_MS = 5;
const READ = [PROPERTY.kind, PROPERTY.chain, PROPERTY.readonly, PROPERTY.ids];

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
  /** Ids of those that are known to belong to the store. */
  readonly #own = new Set<string>();
  #usages: Promise<Map<string, Usage>> | undefined;

  constructor({ zfs, layout, layers }: { zfs: Zfs; layout: Layout; layers: LayerDatasets }) {
    this.#zfs = zfs;
    this.#layout = layout;
    this.#layers = layers;
  }

  /** As RootfsStore.prepare. One command, where it does not exist. */
  async prepare(id: string, chainId: string | undefined, options: RootfsOptions): Promise<Rootfs> {
    const { readonly = false, ids, signal } = options;
    if (!ID.test(id)) throw invalidArgument('rootfs id', `${JSON.stringify(id)} is not a valid name`);
    if (ids !== undefined) await this.#needMappedIds();
    const identity: Identity = { chainId, readonly, ids: ids && `${String(ids.hostId)},${String(ids.size)}` };
    const name = this.#layout.rootfsOf(id);
    const settings = this.#settings(id, identity, options);
    try {
      if (chainId === undefined) await this.#zfs.createFilesystem(name, { settings, signal });
      else await this.#zfs.clone(this.#layers.snapshotOf(chainId), name, { settings, signal });
    } catch (error) {
      if (!isKind(error, 'alreadyExists')) {
        // What was cut off may be done.
        if (signal?.aborted === true) await this.remove(id);
        throw error;
      }
      const existing = await this.#find(id);
      if (existing === undefined) throw error;
      compare(id, existing, identity);
    }
    this.#own.add(id);
    return valueOf(name, identity);
  }

  /** As RootfsStore.get. */
  async get(id: string): Promise<Rootfs | undefined> {
    const identity = ID.test(id) ? await this.#find(id) : undefined;
    return identity && valueOf(this.#layout.rootfsOf(id), identity);
  }

  /**
   * Destroys a root filesystem with its snapshots; no error when there is none. A process that has a file open in it keeps it
   * mounted, though nowhere: it is then only marked, and {@link sweep} destroys it later.
   * @throws CriError for a foreign dataset.
   */
  async remove(id: string): Promise<void> {
    if (!ID.test(id)) return;
    if (!this.#own.has(id) && (await this.#find(id)) === undefined) return;
    const name = this.#layout.rootfsOf(id);
    try {
      await this.#zfs.destroy(name, { recursive: true, repeats: 3 });
    } catch (error) {
      if (isKind(error, 'busy')) await this.#zfs.set(name, { [PROPERTY.kind]: 'removed' satisfies Kind });
      else if (!isKind(error, 'notFound')) throw error;
    }
    this.#own.delete(id);
  }

  /** Destroys those that were in use when they were removed, unless they still are. */
  async sweep(): Promise<void> {
    for (const entry of await this.#zfs.list(this.#layout.rootfs, [PROPERTY.kind], { depth: 1 })) {
      if (ownValueOf(entry, PROPERTY.kind) !== ('removed' satisfies Kind)) continue;
      await this.#zfs.destroy(entry.name, { recursive: true, repeats: 0 }).catch((error: unknown) => {
        if (!isKind(error, 'busy', 'notFound')) throw error;
      });
    }
  }

  /** Ids of the root filesystems, without datasets of others. */
  async list(): Promise<string[]> {
    const entries = await this.#zfs.list(this.#layout.rootfs, [PROPERTY.kind], { depth: 1 });
    const own = entries.filter((entry) => ownValueOf(entry, PROPERTY.kind) === ('rootfs' satisfies Kind));
    return own.map(({ name }) => name.slice(this.#layout.rootfs.length + 1));
  }

  /** Chain ids of the layers that they are clones of, also of those that are removed and still in use. */
  async chains(): Promise<Set<string>> {
    const entries = await this.#zfs.list(this.#layout.rootfs, [PROPERTY.chain], { depth: 1 });
    return new Set(entries.flatMap((entry) => ownValueOf(entry, PROPERTY.chain) ?? []));
  }

  /** Those that were in use when they were removed. */
  async remains(): Promise<Remains[]> {
    const entries = await this.#zfs.list(this.#layout.rootfs, ['used', PROPERTY.kind], { depth: 1 });
    const removed = entries.filter((entry) => ownValueOf(entry, PROPERTY.kind) === ('removed' satisfies Kind));
    return removed.map((entry) => ({ name: entry.name, bytes: numberOf(entry, 'used') ?? 0n }));
  }

  /** What it uses beyond its image. Concurrent calls share a command. */
  async usage(id: string): Promise<Usage | undefined> {
    this.#usages ??= sleep(GATHER_MS).then(() => {
      this.#usages = undefined;
      return this.#readUsages();
    });
    return (await this.#usages).get(id);
  }

  async #readUsages(): Promise<Map<string, Usage>> {
    const entries = await this.#zfs.list(this.#layout.rootfs, ['used', PROPERTY.kind, PROPERTY.chain], { depth: 1 });
    const mounted = await mountPointsBySource('zfs');
    const usages = new Map<string, Usage>();
    for (const entry of entries) {
      if (ownValueOf(entry, PROPERTY.kind) !== ('rootfs' satisfies Kind)) continue;
      const inodes = await this.#inodes(entry, mounted.get(entry.name));
      usages.set(entry.name.slice(this.#layout.rootfs.length + 1), { bytes: numberOf(entry, 'used') ?? 0n, inodes });
    }
    return usages;
  }

  /** What it has more than its image; 0 while it is not mounted: only the mounted filesystem counts them. */
  async #inodes(entry: Entry, mountPoint: string | undefined): Promise<bigint> {
    const objects = mountPoint === undefined ? undefined : await objectsOf(mountPoint).catch(() => undefined);
    const chainId = ownValueOf(entry, PROPERTY.chain);
    const below = chainId === undefined ? 0n : (this.#layers.get(chainId)?.objects ?? objects ?? 0n);
    return objects === undefined || objects < below ? 0n : objects - below;
  }

  async #needMappedIds(): Promise<void> {
    const { tools, module = tools } = await this.#zfs.versions();
    if (isAtLeast(module, WITH_MAPPED_IDS)) return;
    const { major, minor } = WITH_MAPPED_IDS;
    throw failedPrecondition(
      `OpenZFS ${module.text} has no idmapped mounts, which user namespaces need; install OpenZFS ${major}.${minor} or later`,
    );
  }

  #settings(id: string, { chainId, readonly, ids }: Identity, { owner, limits }: RootfsOptions): Settings {
    const { quotaBytes, reservationBytes } = readonly ? {} : (limits ?? {});
    return {
      [PROPERTY.kind]: 'rootfs' satisfies Kind,
      [PROPERTY.container]: id,
      ...(chainId !== undefined && { [PROPERTY.chain]: chainId }),
      ...(ids !== undefined && { [PROPERTY.ids]: ids }),
      ...(readonly && { [PROPERTY.readonly]: 'on', readonly: 'on' }),
      ...(owner !== undefined && { [PROPERTY.pod]: text(owner.pod), [PROPERTY.image]: text(owner.image) }),
      ...(quotaBytes !== undefined && { quota: String(quotaBytes) }),
      ...(reservationBytes !== undefined && { reservation: String(reservationBytes) }),
    };
  }

  /** What exists under an id; undefined when nothing does. @throws CriError for a foreign dataset. */
  async #find(id: string): Promise<Identity | undefined> {
    const name = this.#layout.rootfsOf(id);
    try {
      const [entry] = await this.#zfs.get([name], READ);
      const kind = entry && ownValueOf(entry, PROPERTY.kind);
      if (kind === ('removed' satisfies Kind)) return undefined;
      if (entry === undefined || kind !== ('rootfs' satisfies Kind)) throw foreign(name);
      return {
        chainId: ownValueOf(entry, PROPERTY.chain),
        readonly: ownValueOf(entry, PROPERTY.readonly) === 'on',
        ids: ownValueOf(entry, PROPERTY.ids),
      };
    } catch (error) {
      if (isKind(error, 'notFound')) return undefined;
      throw error;
    }
  }
}

/** Names of others: a listing must stay one. */
function text(value: string): string {
  return value.replaceAll(/\p{Cc}/gu, '?').slice(0, 1000);
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
