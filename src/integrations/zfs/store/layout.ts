import { failedPrecondition, notFound } from '../../../core/model/errors.ts';
import { type Entry, ownValueOf } from '../answers/properties.ts';
import type { Backing } from '../backing/backing.ts';
import { FILESYSTEM } from '../backing/filesystems.ts';
import { isKind } from '../errors/zfs-error.ts';
import type { Zfs } from '../zfs.ts';

/** What a dataset or snapshot is, and of what: an operator reads it, and the store is rebuilt from it. */
export const PROPERTY = {
  /**
   * `store`, `base`, `layer`, `rootfs`, `volume`, or `removed` for one of those that was still in use; without it, set on itself,
   * it is foreign. Of a snapshot `layer`, `snapshot`, `checkpoint`, or `view` for one that exists only while it is read.
   */
  kind: 'proxmox-lxcri:kind',
  /** Of the store, and of volumes of guests: the root directory of the server. Another one would take them for leftovers. */
  root: 'proxmox-lxcri:root',
  /** Of layers: the OCI chain id, the parent's, and the digest of the tar. */
  chain: 'proxmox-lxcri:chain',
  parent: 'proxmox-lxcri:parent',
  diff: 'proxmox-lxcri:diff',
  /** Of layers: what the files use. */
  bytes: 'proxmox-lxcri:bytes',
  inodes: 'proxmox-lxcri:inodes',
  /** Of root filesystems. */
  container: 'proxmox-lxcri:container',
  pod: 'proxmox-lxcri:pod',
  image: 'proxmox-lxcri:image',
  readonly: 'proxmox-lxcri:readonly',
  /** `first host id,number of ids` of its user namespace. */
  ids: 'proxmox-lxcri:ids',
  /** Of volumes of pods: the directory of the node in whose place it is; `on` when it has the content of that. */
  directory: 'proxmox-lxcri:directory',
  filled: 'proxmox-lxcri:filled',
} as const;

export type Kind = 'store' | 'base' | 'layer' | 'rootfs' | 'volume' | 'removed' | 'view';

/** What an id may be: a component of a dataset's name, and a file name. */
export const ID = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/;

/** The snapshot of a complete layer. */
export const COMPLETE = 'layer';

/** The full name of that snapshot of a layer's dataset. */
export function completeOf(dataset: string): string {
  return `${dataset}@${COMPLETE}`;
}

/** Names of the datasets below the one that is configured. */
export class Layout {
  readonly parent: string;
  readonly layers: string;
  readonly rootfs: string;
  readonly volumes: string;
  /** The root directory of the server. */
  readonly root: string;

  constructor(parent: string, root: string) {
    this.root = root;
    this.parent = parent;
    this.layers = `${parent}/layers`;
    this.rootfs = `${parent}/rootfs`;
    this.volumes = `${parent}/volumes`;
  }

  /** The dataset of a layer. */
  layer(chainId: string): string {
    return `${this.layers}/${chainId.replace(/^sha256:/, '')}`;
  }

  /** The dataset of a root filesystem. */
  rootfsOf(id: string): string {
    return `${this.rootfs}/${id}`;
  }

  /** The dataset of a volume. */
  volumeOf(id: string): string {
    return `${this.volumes}/${id}`;
  }

  /** Those that {@link make} makes. */
  get #own(): string[] {
    return [this.layers, this.rootfs, this.volumes];
  }

  /**
   * Creates the datasets that are missing. @throws CriError FAILED_PRECONDITION where there is no such parent, or one of them
   * belongs to others, another server of this program among them.
   */
  async make(zfs: Zfs, { inherited }: Pick<Backing, 'inherited'>): Promise<void> {
    const present = await this.#present(zfs);
    for (const [name, properties] of [
      [this.layers, inherited.layers],
      [this.rootfs, inherited.rootfs],
      [this.volumes, FILESYSTEM],
    ] as const) {
      const entry = present.find((each) => each.name === name);
      const settings = { ...properties, [PROPERTY.kind]: 'store' satisfies Kind, [PROPERTY.root]: this.root };
      if (entry === undefined) await zfs.createFilesystem(name, { settings });
      else if (ownValueOf(entry, PROPERTY.kind) !== 'store') throw foreign(name);
      else if (ownValueOf(entry, PROPERTY.root) !== this.root) throw this.#occupied(entry);
    }
  }

  /** Removes the datasets that {@link make} has made, where nothing is below them; returns those that stay. */
  async remove(zfs: Zfs): Promise<string[]> {
    const left: string[] = [];
    for (const entry of await zfs.list(this.layers, [PROPERTY.kind], { depth: 1 })) {
      if (ownValueOf(entry, PROPERTY.kind) !== ('base' satisfies Kind)) continue;
      await zfs.destroy(entry.name, { recursive: true }).catch(unlessInUse);
    }
    for (const name of this.#own) {
      await zfs.destroy(name).catch((error: unknown) => {
        unlessInUse(error);
        left.push(`dataset ${name}`);
      });
    }
    return left;
  }

  /**
   * Checks that the datasets that {@link make} has made are still there: what is missing below them is elsewhere otherwise, and would
   * come back with them. @throws CriError FAILED_PRECONDITION naming the one that is missing.
   */
  async needPresent(zfs: Zfs): Promise<void> {
    try {
      await zfs.get([this.parent, ...this.#own], ['type']);
    } catch (error) {
      if (!isKind(error, 'notFound')) throw error;
      throw failedPrecondition(
        `dataset ${error.object} of this server does not exist any more; rename it back with "zfs rename", or restart the server, ` +
          `which makes new ones in ${this.parent}`,
        error,
      );
    }
  }

  #occupied({ name, properties }: Entry): Error {
    const other = properties.get(PROPERTY.root)?.value ?? 'unknown';
    return failedPrecondition(
      `dataset ${name} belongs to the server with root ${other}; name another dataset in rootfs.dataset, or, when that server ` +
        `is gone, run "zfs set ${PROPERTY.root}=${this.root} ${this.#own.join(' ')}"`,
    );
  }

  async #present(zfs: Zfs): Promise<Entry[]> {
    try {
      return await zfs.list(this.parent, ['type', PROPERTY.kind, PROPERTY.root], { depth: 1 });
    } catch (error) {
      if (!isKind(error, 'notFound')) throw error;
      throw failedPrecondition(
        `rootfs.dataset: no dataset ${this.parent}; create it with "zfs create ${this.parent}"`,
        error,
      );
    }
  }
}

function unlessInUse(error: unknown): void {
  if (!isKind(error, 'inUse')) throw error;
}

/** The error for a dataset in the way that the store has not made. */
export function foreign(name: string): Error {
  return failedPrecondition(
    `dataset ${name} is in the way and does not belong to this server (it has no property ${PROPERTY.kind} of its own); ` +
      `rename it with "zfs rename"`,
  );
}

/** A name that others chose, as the value of a property: a listing must stay one. */
export function text(value: string): string {
  return value.replaceAll(/\p{Cc}/gu, '?').slice(0, 1000);
}

/** A missing layer. */
export function noLayer(chainId: string): Error {
  return notFound('image layer', chainId);
}
