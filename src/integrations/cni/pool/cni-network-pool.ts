import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '../../../core/model/logger.ts';
import { attachmentId } from '../../../core/model/network.ts';
import type { NetworkAttachment, NetworkRequest } from '../../../core/model/network.ts';
import type { NetworkPool, NetworkPoolFigures, NetworkPoolParts } from '../../../core/model/network-pool.ts';
import { KeyedLock } from '../../../utils/async/keyed-lock.ts';
import { messageOf } from '../../../utils/errors.ts';
import { exists } from '../../../utils/fs/exists.ts';
import type { CniConfigList } from '../cni-config.ts';
import type { NetworkEntries, NetworkEntry } from './network-entries.ts';
import { NetworkReleases } from './network-releases.ts';
import { aheadOf, forPod, mayFollow, whyNotAhead } from './plugin-rules.ts';

/** Milliseconds that a network is prepared later at the most because pods start or stop. */
const FILL_WITHIN_MS = 10_000;
/** Networks that wait for their release; further pods wait for theirs, so that addresses do not run out. */
const MOST_RELEASING = 16;
/** Milliseconds before something that failed is tried again; each further pause is twice as long, up to the most. */
const FIRST_MS = 1000;
const MOST_MS = 60_000;

export interface CniNetworkPoolOptions {
  /** How many networks wait for a pod; 0: none. */
  size: number;
  entries: NetworkEntries;
  /** Reads the configurations in use, and gives them to {@link CniNetworkPool.see}. @throws CriError UNAVAILABLE. */
  refresh: () => Promise<unknown>;
  /** ADD of all plugins of an entry's networks, below the priority of pods; the entry has the results afterwards. */
  attach: (entry: NetworkEntry, lists: readonly CniConfigList[]) => Promise<void>;
  /** DEL of them in its namespace, if that is there. */
  detach: (entry: NetworkEntry, netns: string | undefined) => Promise<void>;
  /** CHECK of them. */
  check: (entry: NetworkEntry) => Promise<void>;
  logger: Logger;
}

/**
 * Networks that are prepared for pods, and those that pods have left: each has a record before its first plugin is called and until
 * its last one has been. A pod's record that names a prepared network makes it the pod's.
 */
export class CniNetworkPool implements NetworkPool {
  readonly #options: CniNetworkPoolOptions;
  /** By id of a network: one step at a time. */
  readonly #locks = new KeyedLock();
  readonly #known = new Map<string, NetworkEntry>();
  readonly #ready: NetworkEntry[] = [];
  readonly #releases: NetworkReleases;
  #creating = 0;
  #claimed = 0;
  #missed = 0;
  /** The configurations in use, and why none is prepared with them. */
  #current: { text: string; lists: readonly CniConfigList[]; problem: string | undefined } | undefined;
  /** Resolved and replaced at each change of what is there. */
  #changed = Promise.withResolvers<undefined>();
  #loaded: Promise<void> | undefined;
  #parts: NetworkPoolParts | undefined;
  #signal: AbortSignal | undefined;

  constructor(options: CniNetworkPoolOptions) {
    this.#options = options;
    this.#releases = new NetworkReleases({ ...options, known: this.#known, locks: this.#locks });
  }

  figures(): NetworkPoolFigures {
    return {
      ready: this.#ready.length,
      creating: this.#creating,
      claimed: this.#claimed,
      missed: this.#missed,
      releasing: [...this.#known.values()].filter(({ phase }) => phase === 'releasing').length,
    };
  }

  /** For verbose Status. */
  describe(): Record<string, unknown> {
    const { size } = this.#options;
    const problem = size > 0 ? this.#current?.problem : undefined;
    return { Size: size, ...this.figures(), ...(problem !== undefined && { Problem: problem }) };
  }

  /** Every network that is prepared or waits for its release, for GC. */
  attachments(): { sandboxId: string; attachment: NetworkAttachment }[] {
    return [...this.#known.values()].map(({ request, attachment }) => ({ sandboxId: request.sandboxId, attachment }));
  }

  async keep(parts: NetworkPoolParts, signal: AbortSignal): Promise<void> {
    this.#parts = parts;
    this.#signal = signal;
    const over = new Promise<void>((resolve) => {
      signal.addEventListener('abort', () => {
        this.#change();
        resolve();
      });
    });
    const work = async () => {
      await this.#persist('reading its records', () => this.load(), signal);
      await this.#adopt(parts, signal);
      await Promise.all([this.#fill(parts, signal), this.#releases.keep(parts, signal)]);
    };
    // A plugin that runs then is not killed amid its work: the next server waits for it.
    await Promise.race([work(), over]);
  }

  async clear(isClaimed: (id: string) => boolean): Promise<void> {
    await this.load();
    for (const { id } of [...this.#known.values()]) {
      if (isClaimed(id)) continue;
      // bridge's DEL fails once where its ADD has not come to the rules of iptables.
      await this.#releases.release(id).catch(() => this.#releases.release(id));
    }
  }

  async claim(request: NetworkRequest): Promise<NetworkAttachment | undefined> {
    const { size, refresh, entries } = this.#options;
    if (!this.#isKept || size === 0) return undefined;
    // What cannot be read refuses every pod, with the reason.
    await refresh().catch(() => undefined);
    const current = this.#current;
    if (current === undefined || current.problem !== undefined) return undefined;
    for (let entry = this.#ready.shift(); entry !== undefined; entry = this.#ready.shift()) {
      this.#change();
      // A pod that an earlier server gave it to may have left it.
      if (this.#known.get(entry.id) !== entry) continue;
      if (entries.existing(entry.id) === undefined) {
        this.#releaseSoon(entry);
        continue;
      }
      this.#claimed += 1;
      const { ips, networks, prepared } = entry.attachment;
      const ofPod = networks.map((network, index) => {
        const list = current.lists[index];
        return list === undefined ? network : { ...network, conflist: JSON.stringify(forPod(list, request)) };
      });
      return { ips, networks: ofPod, ...(prepared !== undefined && { prepared }) };
    }
    this.#missed += 1;
    return undefined;
  }

  forget({ prepared }: NetworkAttachment): void {
    if (prepared === undefined) return;
    void this.drop(prepared.id).catch((error: unknown) => {
      // The release of the pod's network does it again.
      this.#options.logger.warn('Forgetting a claimed network failed', { id: prepared.id, error: messageOf(error) });
    });
  }

  /** Takes in the configurations in use: what was prepared with others is released. */
  see(lists: readonly CniConfigList[]): void {
    const text = textOf(lists);
    if (this.#current?.text === text) return;
    const problem = lists.map(whyNotAhead).find((reason) => reason !== undefined);
    this.#current = { text, lists, problem };
    if (problem !== undefined && this.#options.size > 0)
      this.#options.logger.warn('Networks are not prepared', { reason: problem });
    const others = this.#ready.filter(({ configuration }) => configuration !== text || problem !== undefined);
    for (const entry of others) {
      this.#ready.splice(this.#ready.indexOf(entry), 1);
      this.#releaseSoon(entry);
    }
    this.#change();
  }

  /**
   * Takes a pod's network over, to release it when the pod has stopped; from then on that is durable.
   * @param first called before, when it has not been taken over yet.
   * @returns whether it did: otherwise the caller releases it, and calls {@link drop} afterwards.
   */
  async take(request: NetworkRequest, attachment: NetworkAttachment, first: () => Promise<void>): Promise<boolean> {
    await this.load();
    const { size, entries, logger } = this.#options;
    if (!this.#isKept || size === 0) return false;
    const id = attachmentId(request.sandboxId, attachment);
    return this.#locks.run(id, async () => {
      if (this.#known.get(id)?.phase === 'releasing') return true;
      if (this.#releases.waiting >= MOST_RELEASING || !mayFollow(attachment)) return false;
      try {
        const isOwn = entries.existing(id) !== undefined;
        if (!isOwn && request.netns !== undefined && (await exists(request.netns)))
          await entries.keepNamespace(id, request.netns);
      } catch (error) {
        logger.warn('Keeping a network namespace failed', { id, error: messageOf(error) });
        return false;
      }
      await first();
      const entry: NetworkEntry = { id, phase: 'releasing', configuration: '', request, attachment };
      try {
        await entries.write(entry);
      } catch (error) {
        logger.warn('Recording the release of a network failed', { id, error: messageOf(error) });
        return false;
      }
      this.#known.set(id, entry);
      this.#releases.add(id);
      return true;
    });
  }

  /** The path of a network's namespace here, while it exists. */
  namespace(id: string): string | undefined {
    return this.#options.entries.existing(id);
  }

  /** Removes what is known of a network that others have released, or a pod has. */
  async drop(id: string): Promise<void> {
    await this.#locks.run(id, async () => {
      await this.#options.entries.remove(id);
      this.#known.delete(id);
      this.#change();
    });
  }

  /** Waits until each network that waits has been released, or has failed to be; false when there is none. */
  released(): Promise<boolean> {
    return this.#releases.all();
  }

  get #isKept(): boolean {
    return this.#signal?.aborted === false;
  }

  /** Reads the records, once. */
  load(): Promise<void> {
    this.#loaded ??= (async () => {
      const { entries, unreadable } = await this.#options.entries.read();
      for (const path of unreadable) this.#options.logger.error('Record of a network unreadable', { path });
      for (const entry of entries) {
        this.#known.set(entry.id, entry);
        if (entry.phase === 'releasing') this.#releases.add(entry.id);
      }
    })().catch((error: unknown) => {
      this.#loaded = undefined;
      throw error;
    });
    return this.#loaded;
  }

  /** Those of an earlier server that are as one made now would be. One of a pod is left: it is released with its pod. */
  async #adopt({ isClaimed }: NetworkPoolParts, signal: AbortSignal): Promise<void> {
    const { size, entries, refresh, check, logger } = this.#options;
    await refresh().catch(() => undefined);
    for (const entry of [...this.#known.values()]) {
      if (signal.aborted) return;
      if (entry.phase === 'releasing' || isClaimed(entry.id)) continue;
      const current = this.#current;
      const fits =
        entry.phase === 'ready' &&
        this.#ready.length < size &&
        current?.problem === undefined &&
        current?.text === entry.configuration &&
        entries.existing(entry.id) !== undefined;
      const problem = fits ? await check(entry).then(() => undefined, messageOf) : 'it is not as one made now';
      // A pod that had it may have left it meanwhile.
      if (this.#known.get(entry.id) !== entry) continue;
      if (problem === undefined) {
        this.#ready.push(entry);
        continue;
      }
      logger.info('Prepared network not adopted', { id: entry.id, reason: problem });
      this.#releaseSoon(entry);
    }
    if (this.#ready.length > 0) logger.info('Prepared networks adopted', { networks: this.#ready.length });
  }

  /** Prepares one network after the other while too few are there. */
  async #fill({ quiet }: NetworkPoolParts, signal: AbortSignal): Promise<void> {
    const { size, logger } = this.#options;
    for (let pause = FIRST_MS; !signal.aborted;) {
      const current = this.#current;
      if (current === undefined || current.problem !== undefined || this.#ready.length >= size) {
        await this.#changed.promise;
        continue;
      }
      await quiet(FILL_WITHIN_MS, signal);
      if (isOver(signal)) return;
      this.#creating = 1;
      const error = await this.#make(current, signal).then(() => undefined, messageOf);
      this.#creating = 0;
      if (error === undefined) {
        pause = FIRST_MS;
        continue;
      }
      if (isOver(signal)) return;
      logger.warn('Preparing a network failed', { error, retryMs: pause });
      await this.#pause(pause, signal);
      pause = Math.min(2 * pause, MOST_MS);
    }
  }

  async #make({ text, lists }: { text: string; lists: readonly CniConfigList[] }, signal: AbortSignal): Promise<void> {
    const { entries, attach } = this.#options;
    const id = `prepared-${randomBytes(12).toString('hex')}`;
    const namespace = entries.namespace(id);
    const networks = lists.map((list, index) => {
      return { ifName: `eth${String(index)}`, conflist: JSON.stringify(aheadOf(list)), result: '' };
    });
    const entry: NetworkEntry = {
      id,
      phase: 'creating',
      configuration: text,
      request: { ...NO_POD, sandboxId: id, netns: namespace },
      attachment: { ips: [], networks, prepared: { id, namespace } },
    };
    await entries.write(entry);
    this.#known.set(id, entry);
    try {
      await entries.makeNamespace(id);
      await attach(entry, lists.map(aheadOf));
      const ready = { ...entry, phase: 'ready' } as const;
      await entries.write(ready);
      if (this.#current?.text !== text) throw new Error('the configuration has changed meanwhile');
      this.#known.set(id, ready);
      this.#ready.push(ready);
      this.#change();
    } catch (error) {
      // What a server that ends leaves, the next one removes.
      if (!signal.aborted) this.#releaseSoon(entry);
      throw error;
    }
  }

  #releaseSoon(entry: NetworkEntry): void {
    this.#known.set(entry.id, { ...entry, phase: 'releasing' });
    this.#releases.add(entry.id);
  }

  /** Repeats what fails until the server ends. */
  async #persist(what: string, work: () => Promise<void>, signal: AbortSignal): Promise<void> {
    for (let pause = FIRST_MS; !signal.aborted; pause = Math.min(2 * pause, MOST_MS)) {
      try {
        await work();
        return;
      } catch (error) {
        this.#options.logger.warn(`Network pool: ${what} failed`, { error: messageOf(error), retryMs: pause });
        await this.#pause(pause, signal);
      }
    }
  }

  async #pause(milliseconds: number, signal: AbortSignal): Promise<void> {
    await sleep(milliseconds, undefined, { signal, ref: false }).catch(() => undefined);
  }

  #change(): void {
    this.#changed.resolve(undefined);
    this.#changed = Promise.withResolvers<undefined>();
  }
}

/** The request for a network that no pod has. */
const NO_POD = { podName: '', podNamespace: '', podUid: '', portMappings: [], cgroupParent: '', annotations: {} };

function textOf(lists: readonly CniConfigList[]): string {
  return JSON.stringify(lists);
}

/** A signal that has fired since it was looked at. */
function isOver(signal: AbortSignal): boolean {
  return signal.aborted;
}
