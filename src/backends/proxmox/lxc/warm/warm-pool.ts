import { rm } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '../../../../core/model/logger.ts';
import type { WarmPool, WarmPoolFigures } from '../../../../core/model/warm-pool.ts';
import { forEach } from '../../../../utils/async/for-each.ts';
import { messageOf } from '../../../../utils/errors.ts';
import { namesIn } from '../../../../utils/fs/names.ts';
import type { PodGuests } from '../../guests/pod-guests.ts';
import { warmDirectory, type WarmGuest } from './warm-guest.ts';
import type { WarmGuests } from './warm-guests.ts';

/** Guests that are made, and that are removed, at once: a start loads the node for seconds. */
const AT_ONCE = 2;
/** Milliseconds after which a guest that a pod takes is replaced, so that both do not compete for the node. */
const REPLACE_MS = 1000;
/** Milliseconds before something that failed is tried again; each further pause is twice as long, up to the most. */
const FIRST_MS = 1000;
const MOST_MS = 60_000;

export interface GuestPoolOptions {
  /** How many guests wait for a pod; 0: none. */
  size: number;
  guests: PodGuests;
  warm: WarmGuests;
  /** Absolute path of the handler's directory. */
  directory: string;
  logger: Logger;
}

/**
 * The guests that wait for pods. The map of VMIDs has them under ids of their own: those that a killed server leaves are adopted
 * where they run and are as they would be made now, and removed otherwise.
 */
export class GuestPool implements WarmPool {
  readonly #options: GuestPoolOptions;
  readonly #ready: WarmGuest[] = [];
  #creating = 0;
  /** Guests that were taken a moment ago. */
  #replacing = 0;
  #claimed = 0;
  #missed = 0;
  /** Resolved and replaced at each change of what is there. */
  #changed = Promise.withResolvers<undefined>();
  #signal: AbortSignal | undefined;

  constructor(options: GuestPoolOptions) {
    this.#options = options;
  }

  figures(): WarmPoolFigures {
    return {
      ready: this.#ready.length,
      creating: this.#creating,
      claimed: this.#claimed,
      missed: this.#missed,
    };
  }

  async keep(signal: AbortSignal): Promise<void> {
    this.#signal = signal;
    const over = new Promise<void>((resolve) => {
      signal.addEventListener('abort', () => {
        this.#change();
        resolve();
      });
    });
    const work = async () => {
      await this.#persist('adopting its guests', () => this.#adopt());
      await Promise.all(Array.from({ length: AT_ONCE }, () => this.#fill(signal)));
    };
    // What is being made then is the next server's.
    await Promise.race([work(), over]);
    for (const { monitor } of this.#ready.splice(0)) monitor.destroy();
  }

  async clear(): Promise<void> {
    const { guests, warm } = this.#options;
    await forEach(await guests.warm(), AT_ONCE, ([, { owner }]) => warm.remove(owner));
    await this.#removeDirectories();
  }

  /** The guest that has waited longest, for a pod; undefined when none is ready, or the pool is not kept. */
  take(): WarmGuest | undefined {
    if (this.#signal === undefined || this.#options.size === 0) return undefined;
    const guest = this.#ready.shift();
    if (guest === undefined) {
      this.#missed += 1;
      return undefined;
    }
    this.#claimed += 1;
    this.#replacing += 1;
    void this.#pause(REPLACE_MS).then(() => {
      this.#replacing -= 1;
      this.#change();
    });
    return guest;
  }

  /** A guest of {@link take} that is as it was. */
  giveBack(guest: WarmGuest): void {
    this.#claimed -= 1;
    this.#add(guest);
  }

  /** A guest of {@link take} that cannot be used; it is removed. */
  giveUp({ id }: WarmGuest): void {
    this.#claimed -= 1;
    this.#removeSoon(id);
  }

  async #adopt(): Promise<void> {
    const { size, guests, warm } = this.#options;
    const fingerprint = await warm.fingerprint();
    for (const [vmid, { owner, state }] of await guests.warm()) {
      // By an attempt before, which something else has failed.
      if (this.#ready.some(({ id }) => id === owner)) continue;
      const fits = state === 'used' && this.#ready.length < size;
      const guest = fits ? await warm.adopt(owner, vmid, fingerprint) : undefined;
      if (guest === undefined) this.#removeSoon(owner);
      else this.#add(guest);
    }
    await this.#removeDirectories();
    if (this.#ready.length > 0) this.#options.logger.info('Warm pool adopted', { guests: this.#ready.length });
  }

  /** Removes directories of guests that no VMID has. */
  async #removeDirectories(): Promise<void> {
    const { guests, directory } = this.#options;
    const known = await guests.marks();
    for (const name of await namesIn(warmDirectory(directory)))
      if (!known.has(name)) await rm(`${warmDirectory(directory)}/${name}`, { recursive: true, force: true });
  }

  /** Makes one guest after the other while too few are there. */
  async #fill(signal: AbortSignal): Promise<void> {
    const { size, warm, logger } = this.#options;
    for (let pause = FIRST_MS; !signal.aborted;) {
      if (this.#ready.length + this.#creating + this.#replacing >= size) {
        await this.#changed.promise;
        continue;
      }
      this.#creating += 1;
      const made = await warm.make(signal, (id) => this.#removeSoon(id)).catch((error: unknown) => ({ error }));
      this.#creating -= 1;
      if (!('error' in made)) {
        this.#add(made);
        pause = FIRST_MS;
      } else {
        if (isOver(signal)) return;
        logger.warn('Starting a guest for the warm pool failed', { error: messageOf(made.error), retryMs: pause });
        await this.#pause(pause);
        pause = Math.min(2 * pause, MOST_MS);
      }
    }
  }

  #add(guest: WarmGuest): void {
    this.#ready.push(guest);
    const ended = () => {
      const index = this.#ready.indexOf(guest);
      if (index < 0) return;
      this.#ready.splice(index, 1);
      this.#options.logger.warn('A guest of the warm pool has ended', { vmid: guest.vmid });
      this.#removeSoon(guest.id);
      this.#change();
    };
    guest.monitor.once('close', ended);
    if (guest.monitor.closed) ended();
  }

  #removeSoon(id: string): void {
    void this.#persist(`removing guest ${id}`, () => this.#options.warm.remove(id));
  }

  /** Repeats what fails until the server ends; its next one goes on. */
  async #persist(what: string, work: () => Promise<void>): Promise<void> {
    for (let pause = FIRST_MS; this.#signal?.aborted !== true; pause = Math.min(2 * pause, MOST_MS)) {
      try {
        await work();
        return;
      } catch (error) {
        this.#options.logger.warn(`Warm pool: ${what} failed`, { error: messageOf(error), retryMs: pause });
        await this.#pause(pause);
      }
    }
  }

  async #pause(milliseconds: number): Promise<void> {
    await sleep(milliseconds, undefined, { ...(this.#signal && { signal: this.#signal }), ref: false }).catch(
      () => undefined,
    );
  }

  #change(): void {
    this.#changed.resolve(undefined);
    this.#changed = Promise.withResolvers<undefined>();
  }
}

/** A signal that has fired since it was looked at. */
function isOver(signal: AbortSignal): boolean {
  return signal.aborted;
}
