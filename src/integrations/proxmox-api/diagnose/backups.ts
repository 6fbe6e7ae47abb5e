import { type Finding, ok, warning } from '../../../core/model/finding.ts';
import type { ProxmoxClient } from '../client.ts';
import type { BackupJob } from '../endpoints/backup.ts';
import { isKind } from '../errors/proxmox-error.ts';
import type { Places, PodRange } from './requirements.ts';

/** A job that takes guests of pods: which ones, why, and the command after which it does not. */
interface Hit {
  ranges: readonly PodRange[];
  found: string;
  remedy: string;
  command: string;
}

/**
 * Whether backup jobs take the guests of pods, which a backup locks, and which are often gone when their turn comes. Jobs that
 * are disabled take none. Where the token may not read the jobs, its privileges are the finding. Errors as `Api.call`.
 */
export async function checkBackups(client: ProxmoxClient, places: Places): Promise<Finding[]> {
  const jobs = await jobsOf(client);
  if (jobs === undefined) return [];
  const findings: Finding[] = [];
  for (const job of jobs.filter(({ enabled }) => enabled !== false)) {
    // A job of one node takes the guests that are there.
    const ranges = places.ranges.filter(({ node }) => job.node === undefined || job.node === '' || job.node === node);
    const hit = await hitOf(client, job, ranges, places.pools);
    if (hit === undefined) continue;
    const found = `${hit.found} of pods (${hit.ranges.map(rangeOf).join(', ')}), and locks them while it runs`;
    const remedy = `${hit.remedy}, on a node:`;
    findings.push({ ...warning(`Proxmox backup job ${job.id}`, found, remedy), commands: [hit.command] });
  }
  return findings.length > 0 ? findings : [ok('Proxmox backup jobs', "none takes the pods' guests")];
}

async function jobsOf(client: ProxmoxClient): Promise<BackupJob[] | undefined> {
  try {
    return await client.backupJobs.list();
  } catch (error) {
    if (isKind(error, 'forbidden')) return undefined;
    throw error;
  }
}

/** What vzdump selects: the pool, else the list, else all but the excluded (`PVE::VZDump`, `get_included_guests`). */
async function hitOf(
  client: ProxmoxClient,
  job: BackupJob,
  ranges: readonly PodRange[],
  ownPools: readonly string[],
): Promise<Hit | undefined> {
  const pool = job.pool ?? '';
  if (pool !== '') return poolHit(client, job, { pool, isOwn: ownPools.includes(pool) }, ranges);
  if (job.vmid.length > 0) {
    const hit = ranges.filter((range) => job.vmid.some((vmid) => isIn(range, vmid)));
    return hit.length === 0 ? undefined : { ranges: hit, found: 'names guests', ...takeOnly(job, job.vmid, hit) };
  }
  if (job.all !== true && job.exclude.length === 0) return undefined;
  const excluded = new Set(job.exclude.map(Number));
  const hit = ranges.filter((range) => !vmidsOf(range).every((vmid) => excluded.has(vmid)));
  if (hit.length === 0) return undefined;
  const others = job.exclude.filter((vmid) => !hit.some((range) => isIn(range, vmid)));
  const list = [...others, ...hit.map(({ first, size }) => `$(seq -s, ${String(first)} ${String(first + size - 1)})`)];
  return {
    ranges: hit,
    found: 'takes the guests',
    remedy: 'exclude their VMIDs',
    command: `pvesh set ${pathOf(job)} --exclude "${list.join(',')}"`,
  };
}

/** A pool that the token may not see is not that of the pods. */
async function poolHit(
  client: ProxmoxClient,
  job: BackupJob,
  { pool, isOwn }: { pool: string; isOwn: boolean },
  ranges: readonly PodRange[],
): Promise<Hit | undefined> {
  const members = await client.pools.members(pool).catch((error: unknown) => {
    if (isKind(error, 'forbidden', 'notFound')) return [];
    throw error;
  });
  const vmids = members.flatMap(({ vmid }) => (vmid === undefined ? [] : [String(vmid)]));
  const hit = isOwn ? ranges : ranges.filter((range) => vmids.some((vmid) => isIn(range, vmid)));
  if (hit.length === 0) return undefined;
  return { ranges: hit, found: `takes the pool ${pool}, and with it the guests`, ...takeOnly(job, vmids, hit) };
}

/** Makes a job name the guests that are not of pods; Proxmox ignores `exclude` beside a pool, and refuses it beside a list. */
function takeOnly(job: BackupJob, vmids: readonly string[], ranges: readonly PodRange[]) {
  const others = vmids.filter((vmid) => !ranges.some((range) => isIn(range, vmid)));
  if (others.length === 0)
    return { remedy: 'disable it, as it takes no other', command: `pvesh set ${pathOf(job)} --enabled 0` };
  return { remedy: 'let it name the others alone', command: `pvesh set ${pathOf(job)} --vmid ${others.join(',')}` };
}

function pathOf({ id }: BackupJob): string {
  return `/cluster/backup/${/^[\w.:-]+$/.test(id) ? id : `'${id.replaceAll("'", String.raw`'\''`)}'`}`;
}

function isIn({ first, size }: PodRange, vmid: string): boolean {
  return Number(vmid) >= first && Number(vmid) < first + size;
}

function vmidsOf({ first, size }: PodRange): number[] {
  return Array.from({ length: size }, (_, index) => first + index);
}

function rangeOf({ node, first, size }: PodRange): string {
  return `${node}: ${String(first)}-${String(first + size - 1)}`;
}
