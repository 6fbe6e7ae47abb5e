import type { Cluster } from '../endpoints/cluster.ts';
import { isKind } from '../errors/proxmox-error.ts';
import type { GuestConfig } from '../guests/answers.ts';
import type { GuestRef } from '../guests/guest.ts';
import type { Guests } from '../guests/guests.ts';
import type { Snapshots } from '../guests/snapshots.ts';
import type { Tasks } from '../tasks/tasks.ts';
import { type RecheckOptions, settle, type Verdict } from './settle.ts';

/** The parts of the client that read. */
export interface Readers {
  cluster: Cluster;
  guests: Guests;
  snapshots: Snapshots;
  tasks: Tasks;
}

/**
 * What has become of a call that ended with AmbiguousOutcomeError. Nothing is repeated here: after `notDone` the caller
 * may. Errors are those of the reads.
 */
export class Recheck {
  readonly #readers: Readers;

  constructor(readers: Readers) {
    this.#readers = readers;
  }

  /**
   * After create, and after clone for the guest with the new VMID: is it there, and `isOurs` by a mark in it? The mark must
   * be of this attempt alone: one that an earlier guest bears too would prove nothing.
   */
  created(ref: GuestRef, isOurs: (config: GuestConfig) => boolean, options: RecheckOptions = {}): Promise<Verdict> {
    return this.#settle(ref, options, async () => {
      // Whoever sees a guest only through its pool gets a 403 instead of "does not exist" for an absent one.
      if (await this.#readers.cluster.isFree(ref.vmid, options)) return 'notDone';
      let config: GuestConfig;
      try {
        config = await this.#readers.guests.config(ref, options);
      } catch (error) {
        // Of the other kind, on another node, or invisible.
        if (isKind(error, 'notFound', 'forbidden')) return 'foreign';
        throw error;
      }
      // The mark is written at the end of a create or clone.
      if (isOurs(config)) return config.lock === 'create' ? 'incomplete' : 'done';
      return config.lock === 'create' || config.lock === 'clone' ? 'incomplete' : 'foreign';
    });
  }

  /** After start: does it run? */
  started(ref: GuestRef, options: RecheckOptions = {}): Promise<Verdict> {
    return this.#settle(ref, options, async () =>
      (await this.#readers.guests.status(ref, options)).status === 'running' ? 'done' : 'notDone',
    );
  }

  /** After stop or shutdown: has it stopped, or gone? */
  stopped(ref: GuestRef, options: RecheckOptions = {}): Promise<Verdict> {
    return this.#settle(ref, options, async () => {
      if (await this.#readers.cluster.isFree(ref.vmid, options)) return 'done';
      return (await this.#readers.guests.status(ref, options)).status === 'stopped' ? 'done' : 'notDone';
    });
  }

  /** After delete: is the VMID free? */
  deleted(ref: GuestRef, options: RecheckOptions = {}): Promise<Verdict> {
    return this.#settle(ref, options, async () =>
      (await this.#readers.cluster.isFree(ref.vmid, options)) ? 'done' : 'notDone',
    );
  }

  /** After a change of the configuration: is it as `isWanted`, with what waits for a stop? */
  configured(
    ref: GuestRef,
    isWanted: (config: GuestConfig) => boolean,
    options: RecheckOptions = {},
  ): Promise<Verdict> {
    return this.#settle(ref, options, async () =>
      isWanted(await this.#readers.guests.config(ref, options)) ? 'done' : 'notDone',
    );
  }

  /** After a snapshot: is there one of that name, finished? */
  snapshotTaken(ref: GuestRef, name: string, options: RecheckOptions = {}): Promise<Verdict> {
    return this.#settle(ref, options, async () => {
      const found = (await this.#readers.snapshots.list(ref, options)).some((snapshot) => snapshot.name === name);
      if (!found) return 'notDone';
      const { lock } = await this.#readers.guests.status(ref, options);
      return lock === 'snapshot' ? 'notDone' : 'done';
    });
  }

  #settle(ref: GuestRef, options: RecheckOptions, look: () => Promise<Verdict>): Promise<Verdict> {
    return settle(this.#readers.tasks, ref, look, options);
  }
}
