import { failedPrecondition } from '../../../core/model/errors.ts';
import type { Rootfs, RootfsLimits } from '../../../core/model/rootfs.ts';
import { type Entry, numberOf } from '../answers/properties.ts';
import { isAtLeast, WITH_MAPPED_IDS } from '../answers/version.ts';
import type { Settings, Zfs } from '../zfs.ts';
import type { Backing, OpenOptions, Origin } from './backing.ts';
import { mountDataset } from './mount-dataset.ts';

/** What every file of an image needs; never mounted by ZFS itself. */
export const FILESYSTEM: Settings = { mountpoint: 'legacy', acltype: 'posixacl', xattr: 'sa', atime: 'off' };

/**
 * The number of files of a dataset or snapshot, mounted or not: they are of project 0, unless somebody gives one another (chattr(1),
 * -p). As late as `used`.
 */
export const OBJECTS = 'projectobjused@0';

/** Layers and root filesystems that are filesystems of ZFS. */
export class Filesystems implements Backing {
  readonly store = 'zfs';
  readonly guestPrefix = 'subvol';
  readonly base = 'base';
  readonly objects = OBJECTS;
  readonly inherited = { layers: FILESYSTEM, rootfs: FILESYSTEM };
  readonly own = FILESYSTEM;
  readonly #zfs: Zfs;

  constructor(zfs: Zfs) {
    this.#zfs = zfs;
  }

  create(name: string, settings: Settings): Promise<void> {
    return this.#zfs.createFilesystem(name, { settings });
  }

  writable(): Settings {
    return {};
  }

  /** Proxmox shows `refquota` as the size of a volume, of which the image is a part; `quota` is what limits. */
  limited({ quotaBytes, reservationBytes }: RootfsLimits, { referenced }: Origin, isShown: boolean): Settings {
    return {
      ...(quotaBytes !== undefined && { quota: String(quotaBytes) }),
      ...(quotaBytes !== undefined && isShown && { refquota: String(quotaBytes + referenced) }),
      ...(reservationBytes !== undefined && { reservation: String(reservationBytes) }),
    };
  }

  mount(name: string, target: string, signal?: AbortSignal): Promise<void> {
    return mountDataset(this.#zfs, name, target, signal);
  }

  /** The snapshot waits for it. */
  flush(): Promise<Settings> {
    return Promise.resolve({});
  }

  seal(): Promise<void> {
    return Promise.resolve();
  }

  explain(_name: string, error: unknown): Promise<unknown> {
    return Promise.resolve(error);
  }

  async needMappedIds(): Promise<void> {
    const { tools, module = tools } = await this.#zfs.versions();
    if (isAtLeast(module, WITH_MAPPED_IDS)) return;
    const { major, minor } = WITH_MAPPED_IDS;
    throw failedPrecondition(
      `OpenZFS ${module.text} has no idmapped mounts, which user namespaces need; install OpenZFS ${major}.${minor} or later`,
    );
  }

  open(source: string, { readonly }: OpenOptions): Promise<Rootfs> {
    return Promise.resolve({ mounts: [{ type: 'zfs', source, options: readonly ? ['ro'] : [], target: '' }] });
  }

  count(entries: readonly Entry[]): Promise<ReadonlyMap<string, bigint>> {
    return Promise.resolve(new Map(entries.map((entry) => [entry.name, numberOf(entry, this.objects) ?? 0n])));
  }
}
