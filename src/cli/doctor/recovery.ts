import { access, readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { Config } from '../../core/config/schema.ts';
import { isErrno } from '../../utils/errors.ts';
import { RECORD_FORMAT, ROOT, STATE } from '../../core/state-layout.ts';
import { isRootTaken } from '../../host/root-claim.ts';
import { checkRoot } from '../../host/root-marker.ts';

/** Something the next start of the server will do with what an earlier one left. */
export interface Step {
  kind: 'pod' | 'container' | 'image' | 'leftover';
  id: string;
  action: string;
}

const envelope = z.object({ format: z.int() });
const record = z.object({
  record: z.looseObject({ id: z.string(), phase: z.string().default(''), bootId: z.string().default('') }),
});
type StoredRecord = z.output<typeof record>['record'];

/** The records of one kind, and the ids whose record is damaged: what runs of those is left alone. */
interface Stored {
  records: Map<string, StoredRecord>;
  damaged: Set<string>;
}

/**
 * What the next start would do, from the records and the state folder alone: nothing is changed, and no program is run.
 * undefined while a server uses the folder, since it has done it already.
 */
export async function planRecovery({ root, state }: Config): Promise<Step[] | undefined> {
  const kind = await checkRoot(root).catch(() => 'foreign' as const);
  if (kind === 'foreign' || kind === 'empty') return [];
  if (await isRootTaken(root)) return undefined;
  const steps: Step[] = [];
  const read = (kind: Step['kind'], name: string) =>
    readRecords(kind, { folder: join(root, name), copies: join(state, STATE.records, name), steps });
  const pods = await read('pod', ROOT.sandboxes);
  const containers = await read('container', ROOT.containers);
  await read('image', ROOT.images);
  const bootId = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();

  for (const { id, phase, bootId: boot } of pods.records.values()) {
    if (phase === 'creating') steps.push({ kind: 'pod', id, action: 'remove: its creation was interrupted' });
    if (phase !== 'ready') continue;
    const isThere = boot === bootId && (await exists(join(state, STATE.sandboxes, id)));
    const action = isThere ? 'take up again, or stop if it has ended' : 'stop: it went with the last boot';
    steps.push({ kind: 'pod', id, action });
  }
  for (const { id, phase } of containers.records.values()) {
    if (phase === 'creating') steps.push({ kind: 'container', id, action: 'remove: its creation was interrupted' });
    else if (phase !== 'exited')
      steps.push({ kind: 'container', id, action: await fate(join(state, STATE.runner), id) });
  }
  const orphans: [string, string, Stored][] = [
    ['root file system', join(root, ROOT.overlay, 'containers'), containers],
    ['volume', join(root, ROOT.volumes), containers],
    ['container', join(state, STATE.runner, 'containers'), containers],
    ['LXC guest', join(state, STATE.lxc), pods],
    ['sandbox', join(state, STATE.crunSandboxes), pods],
  ];
  for (const [what, folder, known] of orphans) {
    for (const id of await names(folder)) {
      // A container's image volumes have its id and a number.
      const owner = id.split('.', 1)[0] ?? id;
      if (known.records.has(owner) || known.damaged.has(owner) || !/^[0-9a-f]{64}(\.\d+)?$/.test(id)) continue;
      steps.push({ kind: 'leftover', id, action: `remove: a ${what} that no record knows` });
    }
  }
  return steps;
}

async function fate(runner: string, id: string): Promise<string> {
  if (await exists(join(runner, 'exits', id))) return 'record its end, with its true exit code';
  if (await exists(join(runner, 'containers', id))) return 'take up again, or record its end';
  return 'record as lost with exit code 255, unless its processes still run';
}

/** The records of one kind; files that cannot be read become steps. */
async function readRecords(
  kind: Step['kind'],
  { folder, copies, steps }: { folder: string; copies: string; steps: Step[] },
): Promise<Stored> {
  const records = new Map<string, StoredRecord>();
  const damaged = new Set<string>();
  for (const name of await names(folder)) {
    const id = name.replace(/\.json(\.corrupt)?$/, '').replace(/^(sha256)-/, '$1:');
    if (name.endsWith('.json.corrupt')) damaged.add(id);
    if (!name.endsWith('.json')) continue;
    try {
      const stored: unknown = JSON.parse(await readFile(join(folder, name), 'utf8'));
      if (envelope.parse(stored).format > RECORD_FORMAT) {
        steps.push({ kind, id: name, action: `refuse to start: a later version wrote ${join(folder, name)}` });
        damaged.add(id);
        continue;
      }
      const parsed = record.parse(stored);
      records.set(parsed.record.id, parsed.record);
    } catch (error) {
      damaged.add(id);
      steps.push({ kind, id: name, action: await fateOfDamaged(name, { folder, copies, error }) });
    }
  }
  return { records, damaged };
}

async function fateOfDamaged(
  name: string,
  { folder, copies, error }: { folder: string; copies: string; error: unknown },
): Promise<string> {
  // An error of the system, not of the content.
  if (error instanceof Error && 'syscall' in error) return `refuse to start: ${join(folder, name)}: ${error.message}`;
  if (await exists(join(copies, name))) return 'restore from its copy: the file is damaged';
  return `set aside as ${name}.corrupt, and leave alone what runs of it: the file is damaged`;
}

async function names(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).sort();
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return [];
    throw error;
  }
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
