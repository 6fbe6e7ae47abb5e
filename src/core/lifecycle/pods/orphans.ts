import { messageOf } from '../../../utils/errors.ts';
import type { Backend } from '../../model/backend.ts';
import type { Logger } from '../../model/logger.ts';
import type { PodDirectories } from '../../model/pod-directories.ts';
import type { SandboxRecord } from '../../model/sandbox.ts';
import type { SandboxReference } from '../../model/sandbox-provider.ts';
import { formatRecord, parseRecord } from '../records/record-file.ts';
import type { RecordSchema } from '../records/record-file.ts';
import { networkNamespace, networkRequest } from './sandbox-spec.ts';

export interface OrphanParts {
  /** Whether a record knows a sandbox. */
  known: (id: string) => boolean;
  reference: (record: SandboxRecord) => SandboxReference;
  schema: RecordSchema<SandboxRecord>;
  logger: Logger;
}

/** Copies a record into the sandbox's directory: its addresses can be released even when the record itself is lost. */
export async function copyRecord(
  directories: PodDirectories,
  record: SandboxRecord,
  schema: RecordSchema<SandboxRecord>,
): Promise<void> {
  await directories.keep(record.id, formatRecord(schema, { revision: 0, record }));
}

/**
 * Ends and removes the sandboxes that a provider finds on the machine and no record knows, with their addresses and run
 * folders. One that cannot be removed is reported and left for the next start.
 */
export async function discardOrphans(
  { sandboxes: provider, network, platform }: Backend,
  { known, reference, schema, logger }: OrphanParts,
): Promise<void> {
  const directories = platform.podDirectories;
  if ((await provider.unavailableBecause()) !== undefined) return;
  for (const id of await provider.list()) {
    if (known(id)) continue;
    logger.warn('Removing a sandbox that no record knows', { sandbox: id, handler: provider.handler });
    try {
      const record = await readCopy(directories, id, schema);
      if (record?.network !== undefined) {
        const netns = networkNamespace(await provider.adopt(reference(record)));
        await network.detach(networkRequest(record, netns), record.network);
      }
      await provider.discard(id);
      await directories.remove(id);
    } catch (error) {
      logger.error('Cannot remove a sandbox', { sandbox: id, error: messageOf(error) });
    }
  }
}

async function readCopy(
  directories: PodDirectories,
  id: string,
  schema: RecordSchema<SandboxRecord>,
): Promise<SandboxRecord | undefined> {
  const text = await directories.kept(id);
  return text === undefined ? undefined : parseRecord(schema, `${directories.path(id)}/record.json`, text).record;
}
