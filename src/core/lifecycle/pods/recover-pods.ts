import { forEach } from '../../../utils/async/for-each.ts';
import { messageOf } from '../../../utils/errors.ts';
import type { Backend } from '../../model/backend.ts';
import type { Logger } from '../../model/logger.ts';
import type { SandboxRecord } from '../../model/sandbox.ts';
import type { SandboxReference } from '../../model/sandbox-provider.ts';
import type { EventHub } from '../events/event-hub.ts';
import type { RecordStore } from '../records/record-store.ts';
import { discardOrphans } from './orphans.ts';

/** Pods that are adopted, and pods that are recovered, concurrently. */
const ADOPTED_AT_ONCE = 16;
const SETTLED_AT_ONCE = 8;

export interface RecoveryParts {
  records: RecordStore<SandboxRecord>;
  /** By handler. */
  backends: ReadonlyMap<string, Backend>;
  reference: (record: SandboxRecord) => SandboxReference;
  isRunning: (record: SandboxRecord) => boolean;
  /** Stops a pod; completed steps are not repeated. */
  stop: (id: string) => Promise<void>;
  /** Removes a pod whose creation was interrupted; no effect on other pods. */
  removeHalf: (id: string) => Promise<void>;
  /** Shows such a pod to the kubelet, which then removes it. */
  leave: (id: string) => Promise<void>;
  /** Reports that a pod has ended. */
  ended: (id: string) => void;
  events: Pick<EventHub, 'recovered'>;
  logger: Logger;
}

/** Lets the providers adopt the pods of this boot. */
export async function adoptPods({ records, backends, reference, events }: RecoveryParts): Promise<void> {
  await forEach(records.list(), ADOPTED_AT_ONCE, async (record) => {
    const backend = backends.get(record.handler);
    const isOfThisBoot = record.bootId === backend?.platform.facts.bootId;
    if (record.phase !== 'ready' || backend === undefined || !isOfThisBoot) return;
    const { state } = await backend.sandboxes.adopt(reference(record));
    if (state === 'running') events.recovered('pod', 'adopted');
  });
}

/** Records that the other pods have ended. Returns the ids of all pods to recover. */
export async function endLostPods(parts: RecoveryParts): Promise<string[]> {
  const { records, backends, isRunning, ended, events, logger } = parts;
  const left = records.list().filter((record) => !backends.has(record.handler) || !isRunning(record));
  for (const record of left) {
    if (record.phase !== 'ready') continue;
    logger.warn('Pod is no longer running', { podSandboxId: record.id });
    await records.settle({ ...record, phase: 'stopped' });
    ended(record.id);
    events.recovered('pod', 'ended');
  }
  return left.map(({ id }) => id);
}

/**
 * Completes interrupted creations and stops of an earlier process. A pod whose recovery fails is logged and retried later.
 */
export async function settlePods(ids: readonly string[], parts: RecoveryParts): Promise<void> {
  await forEach(ids, SETTLED_AT_ONCE, (id) => settlePod(id, parts));
}

/** Removes the orphaned sandboxes of every backend. @returns those that could not be removed, with the reason; they are logged. */
export async function removeOrphanedPods({
  records,
  backends,
  reference,
  events,
  logger,
}: RecoveryParts): Promise<ReadonlyMap<string, string>> {
  const known = (id: string) => records.get(id) !== undefined || records.isSetAside(id);
  const lost = records.lost();
  const left = new Map<string, string>();
  for (const backend of backends.values()) {
    for (const [id, reason] of await discardOrphans(backend, { known, lost, reference, events, logger }))
      left.set(id, reason);
  }
  for (const id of [...lost.keys()]) if (!left.has(id)) records.forget(id);
  return left;
}

/** {@link settlePods} for one pod. */
export async function settlePod(
  id: string,
  { records, stop, removeHalf, leave, events, logger }: RecoveryParts,
): Promise<void> {
  try {
    if (records.get(id)?.phase !== 'creating') return await stop(id);
    logger.info('Removing interrupted pod creation', { podSandboxId: id });
    await removeHalf(id);
    events.recovered('pod', 'removed');
  } catch (error) {
    events.recovered('pod', 'failed');
    logger.error('Recovering a pod failed', { podSandboxId: id, error: messageOf(error) });
    if (records.get(id)?.phase === 'creating') await leave(id);
  }
}
