import type { Clock } from '../../model/clock.ts';
import { messageOf } from '../../../utils/errors.ts';
import type { Logger } from '../../model/logger.ts';
import type { Network } from '../../model/network.ts';
import type { SandboxRecord } from '../../model/sandbox.ts';
import type { SandboxStatus } from '../../model/sandbox-provider.ts';
import type { PodActivity } from './pod-activity.ts';
import { networkRequest } from './sandbox-spec.ts';

const COLLECT_EVERY_MS = 3_600_000;

export interface NetworkUpkeepParts {
  network: Network;
  /** The records of all its pods, including those being created or stopped. */
  records: () => readonly SandboxRecord[];
  /** Those of all pods: one may have its network of before its handler was given another. */
  allRecords: () => readonly SandboxRecord[];
  /** Whether a pod runs, and where. */
  status: (record: SandboxRecord) => SandboxStatus;
  activity: Pick<PodActivity, 'quiet'>;
  clock: Clock;
  logger: Logger;
}

/** Whether one of the pods has a prepared network. */
export function isClaimed(records: readonly SandboxRecord[], id: string): boolean {
  return records.some(({ network }) => network?.prepared?.id === id);
}

/**
 * The maintenance of the pod network: its pool is kept; at start, every adopted attachment is checked, and a pod that has lost its
 * network is logged; at start and each hour, plugins remove what belongs to no pod. Runs until `signal` fires.
 */
export async function keepNetworks(parts: NetworkUpkeepParts, signal: AbortSignal): Promise<void> {
  const { network, allRecords, activity, clock, logger } = parts;
  const attachments = () =>
    allRecords().flatMap(({ id, network: attachment }) => (attachment ? [{ sandboxId: id, attachment }] : []));
  const quiet = activity.quiet.bind(activity);
  const keeping = network.pool?.keep({ isClaimed: (id) => isClaimed(allRecords(), id), quiet }, signal);
  await checkAttachments(parts, signal);
  while (!signal.aborted) {
    await network.collectGarbage(attachments).catch((error: unknown) => {
      logger.warn('CNI GC failed', { error: messageOf(error) });
    });
    await clock.sleep(COLLECT_EVERY_MS, signal).catch(() => undefined);
  }
  await keeping;
}

async function checkAttachments(parts: NetworkUpkeepParts, signal: AbortSignal): Promise<void> {
  const { network, records, status, logger } = parts;
  const isReady = (id: string) => records().some((record) => record.id === id && record.phase === 'ready');
  for (const record of records()) {
    const place = status(record);
    if (record.network === undefined || place.state !== 'running' || !isReady(record.id)) continue;
    if (signal.aborted) return;
    await network
      .check(networkRequest(record, place.placement.namespaces.network), record.network)
      .catch((error: unknown) => {
        // It has ended meanwhile and has no network to check.
        if (!isReady(record.id)) return;
        const { namespace, name } = record.spec.metadata;
        const fields = { podSandboxId: record.id, pod: `${namespace}/${name}`, error: messageOf(error) };
        logger.warn("A pod's network failed its check", fields);
      });
  }
}
