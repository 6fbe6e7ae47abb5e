import { forEach } from '../../../utils/async/for-each.ts';
import { messageOf } from '../../../utils/errors.ts';
import type { Backend } from '../../model/backend.ts';
import type { Clock } from '../../model/clock.ts';
import type { Logger } from '../../model/logger.ts';
import type { SandboxReference } from '../../model/sandbox-provider.ts';
import type { SandboxRecord } from '../../model/sandbox.ts';
import type { RecordStore } from '../records/record-store.ts';
import { Retries } from '../retries.ts';

/** Milliseconds that the server is not ready for it. */
const LIMIT_MS = 20_000;
/** Pods at a time. */
const AT_ONCE = 8;

export interface EarlierBootsParts {
  records: RecordStore<SandboxRecord>;
  /** By handler. */
  backends: ReadonlyMap<string, Backend>;
  reference: (record: SandboxRecord) => SandboxReference;
  /** Runs a task while no other step of the pod runs. */
  exclusive: (id: string, task: () => Promise<void>) => Promise<void>;
  clock: Clock;
  logger: Logger;
}

/**
 * Releases what pods of an earlier boot still have outside this machine, so that new pods find room there. Their records stay
 * until the kubelet removes the pods. What fails is retried.
 */
export class EarlierBoots {
  readonly #parts: EarlierBootsParts;
  readonly #retries: Retries;

  constructor(parts: EarlierBootsParts) {
    this.#parts = parts;
    this.#retries = new Retries((id) => this.#releaseOne(id), parts);
  }

  /** Resolves when each has been released or has failed once, but after 20 seconds at the latest: the rest goes on. */
  async release(): Promise<void> {
    const { records, backends, clock, logger } = this.#parts;
    const ids = records
      .list()
      .filter(({ phase, handler, bootId }) => {
        const boot = backends.get(handler)?.platform.facts.bootId;
        return phase === 'stopped' && boot !== undefined && boot !== bootId;
      })
      .map(({ id }) => id);
    if (ids.length === 0) return;
    const enough = new AbortController();
    const all = forEach(ids, AT_ONCE, async (id) => {
      try {
        await this.#releaseOne(id);
      } catch (error) {
        logger.warn('Releasing a pod of an earlier boot failed', { podSandboxId: id, error: messageOf(error) });
        this.#retries.schedule(id);
      }
    }).finally(() => {
      enough.abort();
    });
    await Promise.race([all, clock.sleep(LIMIT_MS, enough.signal).catch(() => undefined)]);
  }

  /** Retries what has failed until `signal` fires. Called once. */
  keep(signal: AbortSignal): void {
    this.#retries.start(signal);
  }

  async #releaseOne(id: string): Promise<void> {
    const { records, backends, reference, exclusive } = this.#parts;
    await exclusive(id, async () => {
      const record = records.get(id);
      if (record !== undefined) await backends.get(record.handler)?.sandboxes.release?.(reference(record));
    });
  }
}
