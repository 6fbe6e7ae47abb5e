import { migrateGuest } from '../guests/migrate.ts';
import { shutter, starter, stopper } from '../guests/lifecycle.ts';
import { resourceOf } from './resource.ts';
import type { ClusterState } from '../state/cluster-state.ts';
import type { GuestRef } from '../state/guest-files.ts';
import type { Worker } from '../state/tasks.ts';

const who = { user: 'root@pam' };
/** Starts that may fail on a node, and other nodes that are tried then, unless the resource says otherwise. */
const STARTS = 1;
const RELOCATIONS = 1;

/** What has become of a resource since it was given its state. */
interface Course {
  starts: number;
  relocations: number;
  /** Nothing is tried any more until the resource is to be stopped. */
  failed: boolean;
}

/**
 * The HA manager: what CRM and LRM do with guests that are resources. It acts when it is told to do a {@link round}, as a real one
 * does every ten seconds. Of groups and rules it has the nodes that they leave a resource.
 */
export class HaManager {
  readonly #state: ClusterState;
  readonly #courses = new Map<string, Course>();
  /** Nodes in maintenance: their guests are to go to others. */
  readonly maintenance = new Set<string>();
  /** The nodes that a resource may be on, by a strict rule of affinity to nodes or to other resources, or a restricted group. */
  readonly bound = new Map<string, readonly string[]>();

  constructor(state: ClusterState) {
    this.#state = state;
  }

  /** Brings each resource one step nearer to what it is to be, and waits for the tasks. */
  async round(): Promise<void> {
    for (const [sid, entry] of Object.entries(this.#state.store.ha)) {
      const ref = this.#state.guests.find(Number(sid.split(':')[1]));
      if (ref !== undefined) await this.#advance(sid, ref, entry);
    }
  }

  /** Takes a node for dead: its guests have ended, and another one gets their configuration as it is. */
  async fence(node: string): Promise<void> {
    const { store, guests, runtime } = this.#state;
    for (const ref of guests.list()) {
      if (ref.node !== node || store.ha[resourceOf(ref)] === undefined) continue;
      const target = this.#other(ref);
      if (target === undefined) continue;
      await runtime.stop(ref);
      guests.move(ref, target);
      // A real node keeps the directory of LXC, which nothing reads any more.
      await runtime.forget(ref);
      this.#courses.delete(resourceOf(ref));
    }
  }

  /** What `ha-manager status` says of a resource beside what it is to be; undefined for nothing. */
  stateOf(sid: string): 'error' | undefined {
    return this.#courses.get(sid)?.failed === true ? 'error' : undefined;
  }

  async #advance(sid: string, ref: GuestRef, entry: Record<string, string | number>): Promise<void> {
    const { state = 'started', max_restart: starts = STARTS, max_relocate: relocations = RELOCATIONS } = entry;
    const isRunning = this.#state.runtime.running(ref) !== undefined;
    if (state === 'stopped' || state === 'disabled') {
      this.#courses.delete(sid);
      if (isRunning) await this.#end(ref);
      return;
    }
    if (state === 'ignored') return;
    const course = this.#courses.get(sid) ?? { starts: 0, relocations: 0, failed: false };
    this.#courses.set(sid, course);
    if (course.failed) return;
    if (this.maintenance.has(ref.node) || !this.#mayBeOn(ref, ref.node)) await this.#relocate(ref);
    else if (isRunning) this.#courses.delete(sid);
    else if (course.starts <= Number(starts)) {
      course.starts += 1;
      await this.#task('vzstart', ref, starter(this.#state, ref, false));
    } else if (course.relocations < Number(relocations)) {
      course.relocations += 1;
      await this.#relocate(ref);
    } else course.failed = true;
  }

  /** A container does not move while it runs: it is ended first, whatever becomes of the move. */
  async #relocate(ref: GuestRef): Promise<void> {
    const state = this.#state;
    const target = this.#other(ref);
    if (target === undefined) return;
    if (state.runtime.running(ref) !== undefined)
      await this.#task('vzshutdown', ref, shutter(state, ref, { timeout: 60, force: false }));
    const fork = (type: string, id: string, work: (worker: Worker) => Promise<void>) =>
      state.tasks.start(ref.node, type, id, who.user, work);
    const params = { node: ref.node, vmid: ref.vmid, target };
    await state.tasks.ended(migrateGuest({ state, who, node: ref.node, params, upload: undefined, fork }, ref));
  }

  #mayBeOn(ref: GuestRef, node: string): boolean {
    return this.bound.get(resourceOf(ref))?.includes(node) !== false;
  }

  #other(ref: GuestRef): string | undefined {
    const { nodes, down } = this.#state;
    const mayBeOn = (node: string) => !down.has(node) && !this.maintenance.has(node) && this.#mayBeOn(ref, node);
    return nodes.find((node) => node !== ref.node && mayBeOn(node));
  }

  /** As the request to stop has it: a stop has no time to end. */
  async #end(ref: GuestRef): Promise<void> {
    const state = this.#state;
    await this.#task('vzstop', ref, stopper(state, ref, { skipLock: false, overrule: false, who }));
  }

  async #task(type: string, { node, vmid }: GuestRef, work: (worker: Worker) => Promise<void>): Promise<void> {
    await this.#state.tasks.ended(this.#state.tasks.start(node, type, String(vmid), who.user, work));
  }
}
