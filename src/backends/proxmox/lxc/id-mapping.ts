import { readFile } from 'node:fs/promises';
import { failedPrecondition } from '../../../core/model/errors.ts';
import type { IdRange } from '../../../core/model/id-range.ts';
import { hasSpan, subordinateIds } from '../../../host/subordinate-ids.ts';

/**
 * Checks, for a pod with a user namespace, that a guest may have its ids: newuidmap, which lxc-start runs on a node of Proxmox
 * VE, maps only ids that root's lines have (subuid(5)).
 * @throws CriError FAILED_PRECONDITION with the line that is missing.
 */
export async function checkMapping(ids: IdRange | undefined): Promise<void> {
  if (ids === undefined) return;
  for (const file of ['/etc/subuid', '/etc/subgid']) {
    const spans = subordinateIds(await readFile(file, 'utf8').catch(() => ''), ['root', '0']);
    if (hasSpan(spans, { first: ids.hostId, count: ids.size })) continue;
    const line = `root:${String(ids.hostId)}:${String(ids.size)}`;
    throw failedPrecondition(`userns_options: ${file} does not give root the ids of the pod; add the line ${line}`);
  }
}
