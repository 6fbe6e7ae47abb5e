import { invalidArgument } from '../../core/model/errors.ts';
import type { Entry } from './answers/properties.ts';
import { isAtLeast, type Versions, WITH_UNMOUNTED_CLONES } from './answers/version.ts';
import { isKind, UnmountedError } from './errors/zfs-error.ts';
import type { CallOptions, Commands } from './commands.ts';
import { assignment, checkDataset, checkObject, checkProperty, checkSnapshot, datasetOf } from './names.ts';
import { explainMissing } from './missing.ts';
import type { PropertiesReader, Reading } from './properties-reader.ts';
import { explainSpace } from './space.ts';

/** Properties to set: by name, as `zfs set` takes them. */
export type Settings = Readonly<Record<string, string>>;

export type DatasetType = 'filesystem' | 'volume' | 'snapshot';

export interface ListOptions extends CallOptions {
  /** Levels below the dataset, 0: none. All by default. */
  depth?: number | undefined;
  /** Filesystems and volumes by default. */
  types?: readonly DatasetType[] | undefined;
}

/** Names of one `get`: each has a time limit of its own, and other reads their turn between two. */
const MAX_NAMES = 100;
/** Bytes of the names of snapshots in one argument (MAX_ARG_STRLEN is 128 KiB). */
const MAX_ARGUMENT = 100_000;

/**
 * Datasets by `zfs`. Every call checks its names first, and throws ZfsError, or the signal's reason. One that changes something
 * and fails has changed nothing, unless it says otherwise or its time is over.
 */
export class Zfs {
  readonly #commands: Commands;
  readonly #reader: PropertiesReader;

  constructor(commands: Commands, reader: PropertiesReader) {
    this.#commands = commands;
    this.#reader = reader;
  }

  /** The versions of the tools and of the kernel module. */
  versions(options?: CallOptions): Promise<Versions> {
    return this.#reader.versions(options);
  }

  /** Datasets and snapshots by name, with these properties. @throws ZfsError notFound when one is missing. */
  async get(names: readonly string[], properties: readonly string[], options?: CallOptions): Promise<Entry[]> {
    names.forEach(checkObject);
    const entries: Entry[] = [];
    for (let at = 0; at < names.length; at += MAX_NAMES) {
      const some = names.slice(at, at + MAX_NAMES);
      const reading = { program: 'zfs', options: [], properties, names: some, object: some[0] ?? '' } as const;
      entries.push(...(await this.#read(reading, options)));
    }
    return entries;
  }

  /** A dataset and those below it, each before its own children, with these properties. */
  list(parent: string, properties: readonly string[], options: ListOptions = {}): Promise<Entry[]> {
    const { depth, types = ['filesystem', 'volume'], ...call } = options;
    const reach = depth === undefined ? ['-r'] : ['-d', String(depth)];
    const names = [checkDataset(parent)];
    const how = [...reach, '-t', types.join(',')];
    return this.#read({ program: 'zfs', options: how, properties, names, object: parent }, call);
  }

  /**
   * Creates a filesystem and does not mount it. @param parents creates those above it too, which are mounted; where it exists,
   * that is no error then.
   */
  createFilesystem(
    name: string,
    { settings = {}, parents = false, ...call }: CallOptions & { settings?: Settings; parents?: boolean } = {},
  ): Promise<void> {
    const how = ['-u', ...(parents ? ['-p'] : [])];
    return this.#change(['create', ...how, ...set(settings), checkDataset(name)], name, call);
  }

  /** Creates a volume (a block device). @param sparse without a reservation of its size. */
  createVolume(
    name: string,
    bytes: bigint,
    { settings = {}, sparse = false, ...call }: CallOptions & { settings?: Settings; sparse?: boolean } = {},
  ): Promise<void> {
    const size = ['-V', String(bytes), ...(sparse ? ['-s'] : [])];
    return this.#change(['create', ...size, ...set(settings), checkDataset(name)], name, call);
  }

  /** Makes snapshots of datasets of one pool, all at the same moment. */
  snapshot(
    names: readonly string[],
    { settings = {}, recursive = false, ...call }: CallOptions & { settings?: Settings; recursive?: boolean } = {},
  ): Promise<void> {
    names.forEach(checkSnapshot);
    const args = ['snapshot', ...(recursive ? ['-r'] : []), ...set(settings), ...names];
    return this.#change(args, names[0] ?? '', call);
  }

  /**
   * Makes a writable dataset of a snapshot in the same pool. Versions before 2.4 mount it, unless its mountpoint is `legacy` or
   * `none`; where they cannot, it is destroyed again. The size of a volume is set afterwards: `volsize` in the command that clones
   * meets a device that is being made, which ends the kernel (OpenZFS 2.4.4, zvol_set_volsize).
   * @throws CriError INVALID_ARGUMENT for `volsize`.
   */
  async clone(
    snapshot: string,
    name: string,
    { settings = {}, ...call }: CallOptions & { settings?: Settings } = {},
  ): Promise<void> {
    if (Object.hasOwn(settings, 'volsize')) throw invalidArgument('volsize', 'cannot be set by a clone');
    const names = [checkSnapshot(snapshot), checkDataset(name)];
    const how = isAtLeast((await this.versions(call)).tools, WITH_UNMOUNTED_CLONES) ? ['-u'] : [];
    try {
      await this.#change(['clone', ...how, ...set(settings), ...names], name, call);
    } catch (error) {
      if (error instanceof UnmountedError) await this.destroy(name);
      throw error;
    }
  }

  /**
   * Destroys a dataset, which has no snapshots and children unless `recursive`; never one that other datasets are clones of,
   * and never a pool. Where a recursive call fails, a part may be destroyed.
   * @throws ZfsError inUse for what depends on it, busy for a mount that is in use.
   */
  destroy(name: string, { recursive = false, ...call }: CallOptions & { recursive?: boolean } = {}): Promise<void> {
    checkDataset(name);
    if (!name.includes('/'))
      throw invalidArgument(`ZFS dataset ${name}`, 'is the root of a pool, which is never destroyed');
    return this.#change(['destroy', ...(recursive ? ['-r'] : []), name], name, call);
  }

  /**
   * Destroys snapshots of one dataset with as few commands as possible; no error for those that do not exist.
   * @param names without the dataset. @param deferred one with clones or holds goes when those are gone.
   */
  async destroySnapshots(
    dataset: string,
    names: readonly string[],
    { deferred = false, ...call }: CallOptions & { deferred?: boolean } = {},
  ): Promise<void> {
    for (const name of names) checkSnapshot(`${dataset}@${name}`);
    for (const some of chunks(names)) {
      const args = ['destroy', ...(deferred ? ['-d'] : []), `${dataset}@${some.join(',')}`];
      await this.#change(args, dataset, call).catch((error: unknown) => {
        if (!isKind(error, 'notFound')) throw error;
      });
    }
  }

  /** Sets all these properties of a dataset or snapshot in one call. */
  set(name: string, settings: Settings, call?: CallOptions): Promise<void> {
    return this.#change(['set', ...assignments(settings), checkObject(name)], name, call);
  }

  /** Makes a dataset inherit a property again; removes a user property that nothing above it has. */
  inherit(name: string, property: string, call?: CallOptions): Promise<void> {
    return this.#change(['inherit', checkProperty(property), checkObject(name)], name, call);
  }

  /** Renames a dataset within its pool, with its children and snapshots; mounted ones stay where they are mounted. */
  rename(from: string, to: string, call?: CallOptions): Promise<void> {
    return this.#change(['rename', '-u', checkDataset(from), checkDataset(to)], from, call);
  }

  /** Turns a clone and its origin round: the origin then depends on the clone, and can be destroyed. */
  promote(name: string, call?: CallOptions): Promise<void> {
    return this.#change(['promote', checkDataset(name)], name, call);
  }

  /** Mounts a filesystem where its property `mountpoint` says. @throws ZfsError mounted when it is. */
  mount(name: string, call?: CallOptions): Promise<void> {
    return this.#change(['mount', checkDataset(name)], name, call);
  }

  /** Unmounts a filesystem. @throws ZfsError notMounted when it is not. */
  unmount(name: string, { force = false, ...call }: CallOptions & { force?: boolean } = {}): Promise<void> {
    return this.#change(['unmount', ...(force ? ['-f'] : []), checkDataset(name)], name, call);
  }

  /**
   * Takes a dataset back to a snapshot. @param newer destroys the snapshots after it, without which it must be the latest.
   * @throws ZfsError diverged when it is not, inUse when a newer one has clones.
   */
  rollback(snapshot: string, { newer = false, ...call }: CallOptions & { newer?: boolean } = {}): Promise<void> {
    return this.#change(['rollback', ...(newer ? ['-r'] : []), checkSnapshot(snapshot)], datasetOf(snapshot), call);
  }

  async #change(args: readonly string[], object: string, call?: CallOptions): Promise<void> {
    try {
      await this.#commands.run({ program: 'zfs', args, object, changes: true }, call);
    } catch (error) {
      const what = `zfs ${args[0] ?? ''}`;
      throw await explainMissing(this.#reader, what, await explainSpace(this.#reader, what, error));
    }
  }

  async #read(reading: Reading, call?: CallOptions): Promise<Entry[]> {
    try {
      return await this.#reader.read(reading, call);
    } catch (error) {
      throw await explainMissing(this.#reader, 'zfs get', error);
    }
  }
}

function assignments(settings: Settings): string[] {
  return Object.entries(settings).map(([name, value]) => assignment(name, value));
}

function set(settings: Settings): string[] {
  return assignments(settings).flatMap((each) => ['-o', each]);
}

function* chunks(names: readonly string[]): Generator<string[]> {
  let chunk: string[] = [];
  let bytes = 0;
  for (const name of names) {
    if (bytes + name.length >= MAX_ARGUMENT) {
      yield chunk;
      chunk = [];
      bytes = 0;
    }
    chunk.push(name);
    bytes += name.length + 1;
  }
  if (chunk.length > 0) yield chunk;
}
