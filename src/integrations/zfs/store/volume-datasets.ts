import { invalidArgument } from '../../../core/model/errors.ts';
import type { Remains, Rootfs, Usage } from '../../../core/model/rootfs.ts';
import type { StoredVolume, VolumeOptions, VolumeStore } from '../../../core/model/volumes.ts';
import { runLocked } from '../../../utils/async/abortable.ts';
import { KeyedLock } from '../../../utils/async/keyed-lock.ts';
import { gatheredRead } from '../../../utils/async/gathered-read.ts';
import { type Entry, numberOf, ownValueOf } from '../answers/properties.ts';
import { OBJECTS } from '../backing/filesystems.ts';
import { isKind } from '../errors/zfs-error.ts';
import type { Settings, Zfs } from '../zfs.ts';
import { readUsage } from './read-usage.ts';
import { foreign, ID, type Kind, type Layout, PROPERTY, text } from './layout.ts';
import { destroyOrMark, REMOVAL_PROPERTIES, remainsOf, sweepRemoved } from './removal.ts';

const READ = [PROPERTY.kind, PROPERTY.directory, PROPERTY.filled, 'quota'];

/** A volume, with its quota as the dataset has it: "0" for none. */
interface Volume extends StoredVolume {
  quota: string;
}

/** Volumes: each a dataset that is made empty, with properties that say whose it is. */
export class VolumeDatasets implements VolumeStore {
  readonly #zfs: Zfs;
  readonly #layout: Layout;
  readonly #load: () => Promise<void>;
  readonly #locks = new KeyedLock();
  #volumes: Promise<Map<string, Volume>> | undefined;
  readonly #usages = gatheredRead((ids) => this.#readUsages(ids));

  /** @param load makes the datasets that all others are below; called before each use. */
  constructor({ zfs, layout, load }: { zfs: Zfs; layout: Layout; load: () => Promise<void> }) {
    this.#zfs = zfs;
    this.#layout = layout;
    this.#load = load;
  }

  async prepare(id: string, options: VolumeOptions): Promise<Rootfs> {
    if (!ID.test(id)) throw invalidArgument('volume id', `${JSON.stringify(id)} is not a valid name`);
    const name = this.#layout.volumeOf(id);
    await runLocked(this.#locks, id, options.signal, async () => {
      const volumes = await this.#present();
      const existing = volumes.get(id);
      if (existing === undefined) volumes.set(id, await this.#create(id, options));
      else await this.#limit(existing, options);
    });
    return { mounts: [{ type: 'zfs', source: name, options: [], target: '' }] };
  }

  async markFilled(id: string): Promise<void> {
    const volume = (await this.#present()).get(id);
    if (volume === undefined || volume.isFilled) return;
    await this.#zfs.set(this.#layout.volumeOf(id), { [PROPERTY.filled]: 'on' });
    volume.isFilled = true;
  }

  async remove(id: string): Promise<void> {
    await this.#locks.run(id, async () => {
      const volumes = await this.#present();
      if (!volumes.has(id)) return;
      if (!(await destroyOrMark(this.#zfs, this.#layout.volumeOf(id)))) await this.#layout.needPresent(this.#zfs);
      volumes.delete(id);
    });
  }

  async list(): Promise<StoredVolume[]> {
    return [...(await this.#present()).values()].map(({ id, directory, isFilled }) => ({ id, directory, isFilled }));
  }

  async usage(id: string): Promise<Usage | undefined> {
    return (await this.#present()).has(id) ? this.#usages(id) : undefined;
  }

  /** Those that were in use when they were removed. */
  async remains(): Promise<Remains[]> {
    return remainsOf(await this.#zfs.list(this.#layout.volumes, REMOVAL_PROPERTIES, { depth: 1 }));
  }

  /** Destroys those that were in use when they were removed, unless they still are. */
  async sweep(): Promise<void> {
    await sweepRemoved(this.#zfs, await this.#zfs.list(this.#layout.volumes, REMOVAL_PROPERTIES, { depth: 1 }));
  }

  /** Forgets what was read, so that the next use reads it again. */
  reset(): void {
    this.#volumes = undefined;
  }

  async #create(id: string, options: VolumeOptions): Promise<Volume> {
    const name = this.#layout.volumeOf(id);
    const { directory, signal } = options;
    try {
      await this.#zfs.createFilesystem(name, { settings: settingsOf(options), signal });
    } catch (error) {
      if (signal?.aborted === true) {
        // What was cut off may be done.
        if ((await this.#kindOf(name)) === 'volume') await destroyOrMark(this.#zfs, name);
        throw error;
      }
      if (!isKind(error, 'alreadyExists')) throw error;
      const kind = await this.#kindOf(name);
      // Of a call that was reported as failed.
      const existing = kind === 'volume' ? (await this.#read()).get(id) : undefined;
      if (existing !== undefined) {
        await this.#limit(existing, options);
        return existing;
      }
      if (kind !== 'removed') throw foreign(name);
      await this.#zfs.destroy(name, { recursive: true });
      return this.#create(id, options);
    }
    return { id, directory, isFilled: false, quota: String(options.quotaBytes ?? 0n) };
  }

  async #limit(volume: Volume, { quotaBytes = 0n, signal }: VolumeOptions): Promise<void> {
    const quota = String(quotaBytes);
    if (volume.quota === quota) return;
    await this.#zfs.set(this.#layout.volumeOf(volume.id), { quota: quotaBytes === 0n ? 'none' : quota }, { signal });
    volume.quota = quota;
  }

  async #kindOf(name: string): Promise<string | undefined> {
    try {
      const [entry] = await this.#zfs.get([name], [PROPERTY.kind]);
      return entry && ownValueOf(entry, PROPERTY.kind);
    } catch (error) {
      if (isKind(error, 'notFound')) return undefined;
      throw error;
    }
  }

  /** What is present, read once: no other server uses the dataset. */
  async #present(): Promise<Map<string, Volume>> {
    await this.#load();
    this.#volumes ??= this.#read().catch((error: unknown) => {
      this.#volumes = undefined;
      throw error;
    });
    return this.#volumes;
  }

  async #read(): Promise<Map<string, Volume>> {
    const entries = await this.#zfs.list(this.#layout.volumes, READ, { depth: 1 });
    const own = entries.filter((entry) => ownValueOf(entry, PROPERTY.kind) === ('volume' satisfies Kind));
    return new Map(own.map((entry) => [this.#idOf(entry), this.#volumeOf(entry)]));
  }

  #idOf({ name }: Entry): string {
    return name.slice(this.#layout.volumes.length + 1);
  }

  #volumeOf(entry: Entry): Volume {
    return {
      id: this.#idOf(entry),
      directory: ownValueOf(entry, PROPERTY.directory),
      isFilled: ownValueOf(entry, PROPERTY.filled) === 'on',
      quota: String(numberOf(entry, 'quota') ?? 0n),
    };
  }

  async #readUsages(ids: readonly string[]): Promise<Map<string, Usage>> {
    const names = ids.map((id) => this.#layout.volumeOf(id));
    const entries = await readUsage(this.#zfs, names, ['used', OBJECTS], (properties, call) =>
      this.#zfs.list(this.#layout.volumes, properties, { ...call, depth: 1 }),
    );
    return new Map(
      entries.map((entry) => {
        const objects = numberOf(entry, OBJECTS) ?? 0n;
        // Its root is one.
        return [this.#idOf(entry), { bytes: numberOf(entry, 'used') ?? 0n, inodes: objects > 0n ? objects - 1n : 0n }];
      }),
    );
  }
}

function settingsOf({ owner, directory, quotaBytes = 0n }: VolumeOptions): Settings {
  return {
    [PROPERTY.kind]: 'volume' satisfies Kind,
    [PROPERTY.pod]: text(owner.pod),
    ...(owner.container !== undefined && { [PROPERTY.container]: owner.container }),
    ...(directory !== undefined && { [PROPERTY.directory]: directory }),
    ...(quotaBytes > 0n && { quota: String(quotaBytes) }),
  };
}
