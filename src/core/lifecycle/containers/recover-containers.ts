import type { ContainerRecord } from '../../model/container.ts';
import { messageOf } from '../../../utils/errors.ts';
import type { ContainerServiceOptions } from './container-service.ts';
import type { ContainerStore } from './container-store.ts';
import { ownerOf } from './image-volumes.ts';
import { exited, lost } from './outcome.ts';

/**
 * Brings one container's record in line with what the runner has: half-created ones are removed by `remove`, ends that
 * happened meanwhile are recorded with their true code and time.
 */
export async function recoverContainer(
  options: ContainerServiceOptions,
  store: ContainerStore,
  record: ContainerRecord,
  remove: () => Promise<void>,
): Promise<void> {
  const { pods, clock, logger } = options;
  if (record.phase === 'exited') return;
  if (record.phase === 'creating') {
    logger.info('Removing a container whose creation was interrupted', { containerId: record.id });
    return remove();
  }
  const runner = pods.backendOf(record.sandboxId).runner;
  const state = await runner.inspect(record.id);
  switch (state.status) {
    case 'absent':
      return store.finish(lost(record, clock.now(), 'gone when the server started, as after a restart of the node'));
    case 'stopped':
      // Where a PID namespace is shared, what the first process started does not end with it.
      await runner.killAll(record.id);
      if (state.exit !== undefined) return store.finish(exited(record, state.exit));
      return store.finish(lost(record, clock.now(), 'its monitor ended without reporting an exit code'));
    case 'created':
      if (record.phase !== 'created') await store.settle({ ...record, phase: 'created', startedAt: 0n });
      return;
    case 'running':
      if (record.phase !== 'running') await store.settle({ ...record, phase: 'running' });
      return;
  }
}

/** Removes containers, root file systems and volumes that no record knows; failures are reported and tried again at the next start. */
export async function removeOrphans(options: ContainerServiceOptions, store: ContainerStore): Promise<void> {
  const { pods, logger } = options;
  const sweep = async (what: string, part: { list(): Promise<string[]>; remove(id: string): Promise<void> }) => {
    const ids = await part.list().catch((error: unknown) => {
      logger.error(`Cannot look for each ${what} that no record knows`, { error: messageOf(error) });
      return [];
    });
    for (const id of ids) {
      // Other names are not the server's: somebody has put something there.
      if (!/^[0-9a-f]{64}$/.test(ownerOf(id)) || !store.isOrphan(ownerOf(id))) continue;
      logger.warn(`Removing a ${what} that no record knows`, { containerId: id });
      try {
        await part.remove(id);
      } catch (error) {
        logger.error(`Cannot remove a ${what}`, { containerId: id, error: messageOf(error) });
      }
    }
  };
  const backends = pods.backends();
  for (const runner of new Set(backends.map((backend) => backend.runner))) await sweep('container', runner);
  for (const store of new Set(backends.map(({ rootfs }) => rootfs))) await sweep('root file system', store);
  for (const volumes of new Set(backends.map(({ platform }) => platform.volumes))) await sweep('volume', volumes);
}
