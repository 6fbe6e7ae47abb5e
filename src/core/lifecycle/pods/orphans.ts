import { messageOf } from '../../../utils/errors.ts';
import type { Backend } from '../../model/backend.ts';
import type { Logger } from '../../model/logger.ts';
import type { SandboxRecord } from '../../model/sandbox.ts';
import type { SandboxReference } from '../../model/sandbox-provider.ts';
import type { EventHub } from '../events/event-hub.ts';
import { releaseNetwork } from './release-network.ts';

export interface OrphanParts {
  /** Whether a sandbox has a record. */
  known: (id: string) => boolean;
  /** Backups of records whose file is missing, by id. */
  lost: ReadonlyMap<string, SandboxRecord>;
  reference: (record: SandboxRecord) => SandboxReference;
  events: Pick<EventHub, 'recovered'>;
  logger: Logger;
}

/**
 * Stops and removes the orphaned sandboxes of a provider, with their addresses and run directories. A failed removal is
 * logged.
 * @returns the ids of those that are left, with the reason.
 */
export async function discardOrphans(
  backend: Backend,
  { known, lost, reference, events, logger }: OrphanParts,
): Promise<Map<string, string>> {
  const { sandboxes: provider, platform } = backend;
  const directories = platform.podDirectories;
  const left = new Map<string, string>();
  const problem = await provider.unavailableBecause();
  if (problem !== undefined) {
    for (const id of lost.keys()) left.set(id, problem);
    return left;
  }
  for (const id of await provider.list()) {
    if (known(id)) continue;
    logger.warn('Removing orphaned sandbox', { podSandboxId: id, handler: provider.handler });
    try {
      const record = lost.get(id);
      if (record !== undefined) await releaseNetwork(backend, record, reference(record));
      await provider.discard(id);
      await directories.remove(id);
      events.recovered('pod', 'removed');
    } catch (error) {
      logger.error('Removing orphaned sandbox failed', { podSandboxId: id, error: messageOf(error) });
      left.set(id, messageOf(error));
    }
  }
  return left;
}
