import { randomUUID } from 'node:crypto';
import { mkdir, readFile, rmdir, statfs } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { CriError, failedPrecondition, StatusCode } from '../../../core/model/errors.ts';
import type { Rootfs, RootfsLimits } from '../../../core/model/rootfs.ts';
import { mountPointsBySource, unmount } from '../../../host/mounts/mount.ts';
import { call } from '../../../host/native/call.ts';
import { messageOf } from '../../../utils/errors.ts';
import { type Entry, numberOf } from '../answers/properties.ts';
import { zfsError } from '../errors/from-outcome.ts';
import type { Settings, Zfs } from '../zfs.ts';
import type { Backing, OpenOptions, Origin } from './backing.ts';
import { Devices } from './devices.ts';
import { EXT4, growExt4, makeExt4, readSuperblock, syncExt4 } from './ext4.ts';
import { FILESYSTEM } from './filesystems.ts';

const MIB = 2n ** 20n;
/** Sizes of volumes are multiples of it, as Proxmox's are. */
const STEP = MIB;
/** How much of its device an ext4 may leave: a last group of blocks that is too small for its tables. */
const UNUSED = 16n * MIB;
/** A pool with less room is full: what is written comes with blocks that only ZFS needs. */
const LEAST = 4n * MIB;
/** Bytes of a sector of /sys/block. */
const SECTOR = 512n;

/** Bytes that a clone is to have; its `volsize` follows when it has a device ({@link Zfs.clone}). */
const SIZE = 'proxmox-lxcri:size';

/** A device without partitions: what a container writes is not searched for them. Snapshots have none. */
const VISIBLE: Settings = { volmode: 'dev', snapdev: 'hidden' };

export interface VolumesOptions {
  zfs: Zfs;
  /** Bytes that a volume has at least, with its image. They are not reserved. */
  bytes: bigint;
  /** Directory of mount points for as long as a volume is changed. */
  mounts: string;
}

/** Layers and root filesystems that are volumes with ext4, so that another kernel can mount them. */
export class Volumes implements Backing {
  readonly store = 'zvol';
  readonly guestPrefix = 'vm';
  readonly base: string;
  readonly objects = 'proxmox-lxcri:objects';
  /** Nothing uses the device of a layer. */
  readonly inherited = {
    layers: { ...FILESYSTEM, ...VISIBLE, volmode: 'none' },
    rootfs: { ...FILESYSTEM, ...VISIBLE },
  };
  readonly own = VISIBLE;
  readonly #zfs: Zfs;
  readonly #bytes: bigint;
  readonly #mounts: string;
  readonly #devices = new Devices();

  constructor({ zfs, bytes, mounts }: VolumesOptions) {
    this.#zfs = zfs;
    this.#bytes = roundUp(bytes);
    this.#mounts = mounts;
    this.base = `base-${String(this.#bytes)}`;
  }

  async create(name: string, settings: Settings): Promise<void> {
    await this.#zfs.createVolume(name, this.#bytes, { settings: { ...settings, volmode: 'dev' }, sparse: true });
    const device = await this.#devices.wait(name);
    await makeExt4(device);
    await this.#mounted(device, (target) => rmdir(join(target, 'lost+found')));
  }

  writable(origin: Origin): Settings {
    return { volmode: 'dev', ...this.#sized(origin, this.#bytes) };
  }

  /** The filesystem is as large as image and quota. */
  limited({ quotaBytes, reservationBytes }: RootfsLimits, origin: Origin): Settings {
    const { bytes, volumeBytes = 0n } = origin;
    const wanted = quotaBytes === undefined ? this.#bytes : roundUp(bytes + quotaBytes);
    if (quotaBytes !== undefined && wanted < volumeBytes) {
      const sizes = `${String(wanted)} bytes with its image, and its volume has ${String(volumeBytes)}`;
      throw failedPrecondition(`a quota of ${String(quotaBytes)} bytes makes ${sizes}; set a larger one`);
    }
    return {
      ...this.#sized(origin, wanted),
      ...(reservationBytes !== undefined && { reservation: String(reservationBytes) }),
    };
  }

  async mount(name: string, target: string, signal?: AbortSignal): Promise<void> {
    const device = await this.#devices.wait(name, signal);
    await this.#grow(name, device);
    await call([{ do: 'mount', source: device, target, type: EXT4 }], signal);
  }

  async flush(name: string, target: string): Promise<Settings> {
    await syncExt4(await this.#devices.wait(name), target);
    const { files, ffree } = await statfs(target, { bigint: true });
    return { [this.objects]: String(files - ffree) };
  }

  seal(name: string): Promise<void> {
    return this.#zfs.inherit(name, 'volmode');
  }

  /** A pool without room fails the writes of ext4, which tells its users something else. */
  async explain(name: string, error: unknown): Promise<unknown> {
    const [entry] = await this.#zfs.get([name], ['available', 'volsize']).catch(() => []);
    if (entry === undefined) return error;
    if ((numberOf(entry, 'available') ?? LEAST) < LEAST)
      return zfsError('full', { what: EXT4, object: name }, 'no space left for its blocks', error);
    if (!(error instanceof CriError) || error.code !== StatusCode.RESOURCE_EXHAUSTED) return error;
    const size = String(numberOf(entry, 'volsize') ?? this.#bytes);
    const message = `${messageOf(error)}: volume ${name} has ${size} bytes; make volumes larger`;
    return new CriError(error.code, message, { cause: error });
  }

  needMappedIds(): Promise<void> {
    return Promise.resolve();
  }

  async open(name: string, { readonly, isNew, signal }: OpenOptions): Promise<Rootfs> {
    const blockDevice = await this.#devices.wait(name, signal);
    // Later, another kernel may have it mounted.
    if (isNew && !readonly) await this.#grow(name, blockDevice);
    return { blockDevice, fsType: EXT4, options: [readonly ? 'ro' : 'discard'] };
  }

  /** A mounted filesystem counts itself; the superblock is of the time when it was last unmounted. */
  async count(entries: readonly Entry[]): Promise<ReadonlyMap<string, bigint>> {
    const mounted = await mountPointsBySource(EXT4);
    const counts = new Map<string, bigint>();
    for (const { name } of entries) {
      const device = await this.#devices.find(name);
      const inodes =
        device === undefined ? undefined : await countOn(device, mounted.get(device)).catch(() => undefined);
      if (inodes !== undefined) counts.set(name, inodes);
    }
    return counts;
  }

  #sized({ volumeBytes = 0n }: Origin, bytes: bigint): Settings {
    return bytes > volumeBytes ? { [SIZE]: String(bytes) } : {};
  }

  /** Makes a volume as large as it is to be, and the filesystem as large as the volume. Without effect where they are. */
  async #grow(name: string, device: string): Promise<void> {
    const [entry] = await this.#zfs.get([name], ['volsize', SIZE]);
    const [volsize = 0n, wanted = 0n] = entry === undefined ? [] : [numberOf(entry, 'volsize'), numberOf(entry, SIZE)];
    if (wanted > volsize) await this.#zfs.set(name, { volsize: String(wanted) });
    const sectors = await readFile(join('/sys/block', basename(device), 'size'), 'utf8');
    const { bytes } = await readSuperblock(device);
    if (bytes + UNUSED > BigInt(sectors.trim()) * SECTOR) return;
    await this.#mounted(device, () => growExt4(device));
  }

  async #mounted(device: string, work: (target: string) => Promise<void>): Promise<void> {
    const target = join(this.#mounts, randomUUID());
    await mkdir(target, { recursive: true, mode: 0o700 });
    try {
      await call([{ do: 'mount', source: device, target, type: EXT4 }]);
      await work(target);
    } finally {
      await unmount(target).catch(() => undefined);
      await rmdir(target).catch(() => undefined);
    }
  }
}

function roundUp(bytes: bigint): bigint {
  return ((bytes + STEP - 1n) / STEP) * STEP;
}

async function countOn(device: string, mountPoint: string | undefined): Promise<bigint> {
  if (mountPoint === undefined) return (await readSuperblock(device)).inodes;
  const { files, ffree } = await statfs(mountPoint, { bigint: true });
  return files - ffree;
}
