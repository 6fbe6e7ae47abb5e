import { messageOf } from '../../../utils/errors.ts';
import type { Clock } from '../../model/clock.ts';
import type { ContainerRunner } from '../../model/container-runner.ts';
import type { ContainerRecord } from '../../model/container.ts';
import { failedPrecondition, invalidArgument, notFound } from '../../model/errors.ts';
import type { Logger } from '../../model/logger.ts';
import type { RootfsMounts } from '../../model/rootfs-mounts.ts';
import type { RootfsSnapshot, RootfsSnapshots } from '../../model/rootfs-snapshots.ts';
import type { PodService } from '../pods/pod-service.ts';
import { needPlace } from '../rootfs-place.ts';
import type { RootfsStores } from '../rootfs-stores.ts';
import { expiredCheckpoints, type Retention } from './checkpoint-retention.ts';
import type { ContainerService } from './container-service.ts';

/** Also the name of a directory below `.zfs/snapshot`. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}$/;
/** Milliseconds for a running container's data to be written to disk, and for a snapshot of it. */
const SYNC_MS = 120_000;
const SNAPSHOT_MS = 120_000;
/** Milliseconds for each step while a container is frozen: its clients wait. */
const FROZEN_STEP_MS = 10_000;

export interface ContainerSnapshotsOptions {
  containers: Pick<ContainerService, 'exclusive'>;
  pods: Pick<PodService, 'backendOf'>;
  stores: Pick<RootfsStores, 'find'>;
  /** Which checkpoints are kept by default. */
  retention: Retention;
  clock: Clock;
  logger: Logger;
}

/** A checkpoint that was made. */
export interface Checkpoint {
  snapshot: RootfsSnapshot;
  /** Milliseconds that the container was frozen; 0 for one that did not run. */
  frozenMs: number;
  /** Names of the checkpoints that were removed. */
  removed: string[];
}

/** To what a root filesystem is taken back, and what may be lost by it. */
export interface RestoreOptions {
  /** "": the latest checkpoint. */
  name: string;
  /** Removes the snapshots after it. */
  discardNewer: boolean;
  /** Also while processes have files mapped for writing: what is in memory of these stays, and is mixed with the snapshot. */
  force: boolean;
}

/** A root filesystem that was taken back. */
export interface Restored {
  /** To which snapshot, as it was before. */
  snapshot: RootfsSnapshot;
  /** Names of the newer snapshots that were removed. */
  removed: string[];
  /** As in {@link Checkpoint}. */
  frozenMs: number;
}

/** What a snapshot of a container's root filesystem needs. */
interface Parts {
  snapshots: RootfsSnapshots;
  mounts: RootfsMounts;
  runner: ContainerRunner;
}

/**
 * Snapshots of containers' root filesystems: their processes are no part of them, nor are volumes. Every call throws CriError
 * NOT_FOUND when there is no such container, and FAILED_PRECONDITION when its store has no snapshots.
 */
export class ContainerSnapshots {
  readonly #options: ContainerSnapshotsOptions;

  constructor(options: ContainerSnapshotsOptions) {
    this.#options = options;
  }

  /** All snapshots, those of operators and other programs too; the oldest first. */
  list(id: string): Promise<RootfsSnapshot[]> {
    return this.#exclusive(id, undefined, (record, { snapshots }) => snapshots.list(record.id));
  }

  /**
   * Makes a snapshot of what has been written, while the container runs: as if it had been killed.
   * @param name "": `snapshot-<time>`. @throws CriError INVALID_ARGUMENT, ALREADY_EXISTS.
   */
  create(id: string, name: string, signal?: AbortSignal): Promise<RootfsSnapshot> {
    if (name !== '' && !NAME.test(name)) {
      throw invalidArgument('name', `must be at most 100 of A-Z a-z 0-9 _ . : -, the first a letter or digit`);
    }
    return this.#exclusive(id, signal, async (record, { snapshots }) => {
      const asked = name || `snapshot-${this.#time()}`;
      await snapshots.create(record.id, asked, 'snapshot', SNAPSHOT_MS);
      return find(await snapshots.list(record.id), record, asked);
    });
  }

  /** Removes a snapshot that this server has made. @throws CriError NOT_FOUND, FAILED_PRECONDITION. */
  remove(id: string, name: string): Promise<void> {
    return this.#exclusive(id, undefined, async (record, { snapshots }) => {
      const snapshot = find(await snapshots.list(record.id), record, name);
      if (snapshot.kind === undefined) {
        throw failedPrecondition(
          `snapshot ${name} of container ${record.id} was not made by this server; remove it where it was made`,
        );
      }
      checkFree([snapshot]);
      await snapshots.remove(record.id, [name]);
    });
  }

  /**
   * Freezes a running container, makes a snapshot `checkpoint-<time>` of all that it has written, and continues it. Removes the
   * checkpoints that `retention`, where it is given, and the configuration do not keep.
   */
  checkpoint(id: string, retention: Partial<Retention>, signal?: AbortSignal): Promise<Checkpoint> {
    return this.#exclusive(id, signal, async (record, parts) => {
      const { snapshots, mounts } = parts;
      const name = `checkpoint-${this.#time()}`;
      // Most is written before, so that the container is not frozen for long.
      await mounts.sync(record.id, SYNC_MS);
      signal?.throwIfAborted();
      const frozenMs = await this.#frozen(record, parts, () =>
        snapshots.create(record.id, name, 'checkpoint', FROZEN_STEP_MS),
      );
      const all = await snapshots.list(record.id);
      const kept = { ...this.#options.retention, ...retention };
      const removed = await this.#expire(record, snapshots, expiredCheckpoints(all, kept, this.#options.clock.now()));
      return { snapshot: find(all, record, name), frozenMs, removed };
    });
  }

  /**
   * Takes a root filesystem back to a snapshot; a running container is frozen meanwhile, and continues with what it has in memory.
   * @throws CriError FAILED_PRECONDITION for newer snapshots, for those with clones or holds, and for mapped files.
   */
  restore(id: string, { name, discardNewer, force }: RestoreOptions, signal?: AbortSignal): Promise<Restored> {
    return this.#exclusive(id, signal, async (record, parts) => {
      const { snapshots, mounts, runner } = parts;
      const all = await snapshots.list(record.id);
      const target = name === '' ? latestCheckpoint(all, record) : find(all, record, name);
      const newer = all.slice(all.indexOf(target) + 1);
      const removed = newer.map((snapshot) => snapshot.name);
      if (removed.length > 0 && !discardNewer) {
        throw failedPrecondition(
          `container ${record.id} has snapshots newer than ${target.name}: ${removed.join(', ')}; --discard-newer removes them`,
        );
      }
      checkFree(newer);
      const frozenMs = await this.#frozen(record, parts, async () => {
        if (!force) checkUnmapped(record, await runner.mappedFiles(record.id));
        await snapshots.rollback(record.id, target.name, { discardNewer, limitMs: FROZEN_STEP_MS });
        // Files that were mapped would be read as they were.
        await mounts.dropCache();
      });
      return { snapshot: target, removed, frozenMs };
    });
  }

  #exclusive<T>(
    id: string,
    signal: AbortSignal | undefined,
    task: (record: ContainerRecord, parts: Parts) => Promise<T>,
  ): Promise<T> {
    const { containers } = this.#options;
    return containers.exclusive(id, (record) => task(record, this.#partsOf(record)), signal);
  }

  #partsOf(record: ContainerRecord): Parts {
    const { pods, stores } = this.#options;
    const backend = pods.backendOf(record.sandboxId);
    const { store, mounts } = needPlace(record, backend, stores);
    if (store.snapshots !== undefined) return { snapshots: store.snapshots, mounts, runner: backend.runner };
    throw failedPrecondition(
      `the root filesystem of container ${record.id} is in the store ${store.name}, which has no snapshots; ` +
        'containers that are created on ZFS have them (rootfs.store)',
    );
  }

  /**
   * Runs a task while the container, if it runs, is frozen and everything that it has written is on disk; continues it in any case.
   * Returns the milliseconds for which it was frozen.
   */
  async #frozen({ id, phase }: ContainerRecord, { runner, mounts }: Parts, task: () => Promise<void>): Promise<number> {
    if (phase === 'created' || phase === 'exited') {
      await task();
      return 0;
    }
    const begin = this.#options.clock.monotonic();
    await runner.pause(id);
    try {
      await mounts.sync(id, FROZEN_STEP_MS);
      await task();
    } finally {
      await runner.resume(id);
    }
    return Math.ceil(Number(this.#options.clock.monotonic() - begin) / 1e6);
  }

  /** The checkpoint is made: a failure is only logged. */
  async #expire(
    { id }: ContainerRecord,
    snapshots: RootfsSnapshots,
    expired: readonly RootfsSnapshot[],
  ): Promise<string[]> {
    const names = expired.map(({ name }) => name);
    if (names.length === 0) return [];
    try {
      await snapshots.remove(id, names);
      return names;
    } catch (error) {
      const fields = { containerId: id, snapshots: names, error: messageOf(error) };
      this.#options.logger.warn('Removing expired checkpoints failed', fields);
      return [];
    }
  }

  /** UTC, in the form of RFC 3339. */
  #time(): string {
    return new Date(Number(this.#options.clock.now() / 1_000_000n)).toISOString();
  }
}

function find(snapshots: readonly RootfsSnapshot[], { id }: ContainerRecord, name: string): RootfsSnapshot {
  const found = snapshots.find((snapshot) => snapshot.name === name);
  if (found === undefined) throw notFound(`snapshot of container ${id}`, name);
  return found;
}

function latestCheckpoint(snapshots: readonly RootfsSnapshot[], { id }: ContainerRecord): RootfsSnapshot {
  const found = snapshots.findLast(({ kind }) => kind === 'checkpoint');
  if (found === undefined) {
    throw failedPrecondition(`container ${id} has no checkpoint; name a snapshot of it, if it has one`);
  }
  return found;
}

/** @throws CriError FAILED_PRECONDITION for a snapshot that cannot be removed. */
function checkFree(snapshots: readonly RootfsSnapshot[]): void {
  for (const { name, dependents } of snapshots) {
    if (dependents.length > 0) throw failedPrecondition(`snapshot ${name} is in use by ${dependents.join(', ')}`);
  }
}

/** @throws CriError FAILED_PRECONDITION naming files that processes have mapped for writing. */
function checkUnmapped({ id }: ContainerRecord, files: readonly string[]): void {
  if (files.length === 0) return;
  throw failedPrecondition(
    `processes of container ${id} have mapped ${files.slice(0, 5).join(', ')} for writing: what is in memory of ` +
      'these files would be mixed with the snapshot; end the processes, or use --force',
  );
}
