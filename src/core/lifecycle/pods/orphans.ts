import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { unmount } from '../../../host/mounts/mount.ts';
import { writeFileAtomic } from '../../../utils/fs/atomic.ts';
import { isErrno, messageOf } from '../../../utils/errors.ts';
import type { Logger } from '../../model/logger.ts';
import type { Network } from '../../model/network.ts';
import type { SandboxRecord } from '../../model/sandbox.ts';
import type { SandboxProvider, SandboxSpec } from '../../model/sandbox-provider.ts';
import { podFiles } from './files.ts';
import { formatRecord, parseRecord } from '../records/record-file.ts';
import { sandboxSchema } from './sandbox-record.ts';
import { networkRequest } from './sandbox-spec.ts';

export interface OrphanParts {
  /** Whether a record knows a sandbox. */
  known: (id: string) => boolean;
  runDir: (id: string) => string;
  spec: (record: SandboxRecord) => SandboxSpec;
  network: Network;
  logger: Logger;
}

/** Copies a record into the sandbox's run folder: its addresses can be given back even when the record itself is lost. */
export async function copyRecord(runDir: string, record: SandboxRecord): Promise<void> {
  await writeFileAtomic(copyIn(runDir), formatRecord(sandboxSchema, { revision: 0, record }));
}

/**
 * Ends and removes the sandboxes that a provider finds on the machine and no record knows, with their addresses and run
 * folders. One that cannot be removed is reported and left for the next start.
 */
export async function discardOrphans(
  provider: SandboxProvider,
  { known, runDir, spec, network, logger }: OrphanParts,
): Promise<void> {
  if ((await provider.unavailableBecause()) !== undefined) return;
  for (const id of await provider.list()) {
    if (known(id)) continue;
    logger.warn('Removing a sandbox that no record knows', { sandbox: id, handler: provider.handler });
    const folder = runDir(id);
    try {
      const record = await readCopy(folder);
      if (record?.network !== undefined) {
        const netns = (await provider.inspect(spec(record)))?.namespaces.network;
        await network.detach(networkRequest(record, netns), record.network);
      }
      await provider.discard(id);
      await unmount(podFiles(folder).shm);
      await rm(folder, { recursive: true, force: true });
    } catch (error) {
      logger.error('Cannot remove a sandbox', { sandbox: id, error: messageOf(error) });
    }
  }
}

async function readCopy(runDir: string): Promise<SandboxRecord | undefined> {
  try {
    const path = copyIn(runDir);
    return parseRecord(sandboxSchema, path, await readFile(path, 'utf8')).record;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}

function copyIn(runDir: string): string {
  return join(runDir, 'record.json');
}
