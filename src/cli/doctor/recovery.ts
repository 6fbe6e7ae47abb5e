import { access, readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { Config } from '../../core/config/schema.ts';
import { isErrno } from '../../utils/errors.ts';
import { isRootTaken } from '../../host/root-guard.ts';

/** Something the next start of the server will do with what an earlier one left. */
export interface Step {
  kind: 'pod' | 'container' | 'image' | 'leftover';
  id: string;
  action: string;
}

const record = z.object({
  record: z.looseObject({ id: z.string(), phase: z.string().default(''), bootId: z.string().default('') }),
});
type StoredRecord = z.output<typeof record>['record'];

/**
 * What the next start would do, from the records and the state folder alone: nothing is changed, and no program is run.
 * undefined while a server uses the folder, since it has done it already.
 */
export async function planRecovery({ root, state }: Config): Promise<Step[] | undefined> {
  if (await isRootTaken(root)) return undefined;
  const steps: Step[] = [];
  const pods = await read('pod', join(root, 'sandboxes'), steps);
  const containers = await read('container', join(root, 'containers'), steps);
  await read('image', join(root, 'images'), steps);
  const bootId = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();

  for (const { id, phase, bootId: boot } of pods.values()) {
    if (phase === 'creating') steps.push({ kind: 'pod', id, action: 'remove: its creation was interrupted' });
    if (phase !== 'ready') continue;
    const isThere = boot === bootId && (await exists(join(state, 'sandboxes', id)));
    const action = isThere ? 'take up again, or stop if it has ended' : 'stop: it went with the last boot';
    steps.push({ kind: 'pod', id, action });
  }
  for (const { id, phase } of containers.values()) {
    if (phase === 'creating') steps.push({ kind: 'container', id, action: 'remove: its creation was interrupted' });
    else if (phase !== 'exited') steps.push({ kind: 'container', id, action: await fate(join(state, 'runner'), id) });
  }
  const orphans: [string, string, ReadonlyMap<string, unknown>][] = [
    ['root file system', join(root, 'overlay', 'containers'), containers],
    ['volume', join(root, 'volumes'), containers],
    ['container', join(state, 'runner', 'containers'), containers],
    ['LXC guest', join(state, 'lxc'), pods],
    ['sandbox', join(state, 'crun-sandboxes'), pods],
  ];
  for (const [what, folder, known] of orphans) {
    for (const id of await names(folder)) {
      // A container's image volumes have its id and a number.
      if (known.has(id.split('.', 1)[0] ?? id) || !/^[0-9a-f]{64}(\.\d+)?$/.test(id)) continue;
      steps.push({ kind: 'leftover', id, action: `remove: a ${what} that no record knows` });
    }
  }
  return steps;
}

async function fate(runner: string, id: string): Promise<string> {
  if (await exists(join(runner, 'exits', id))) return 'record its end, with its true exit code';
  if (await exists(join(runner, 'containers', id))) return 'take up again, or record its end';
  return 'record as lost with exit code 255: nothing of it is left';
}

/** The records of one kind; files that cannot be read become steps. */
async function read(kind: Step['kind'], folder: string, steps: Step[]): Promise<ReadonlyMap<string, StoredRecord>> {
  const records = new Map<string, StoredRecord>();
  for (const name of await names(folder)) {
    if (!name.endsWith('.json')) continue;
    try {
      const parsed = record.parse(JSON.parse(await readFile(join(folder, name), 'utf8')));
      records.set(parsed.record.id, parsed.record);
    } catch {
      steps.push({ kind, id: name, action: `set aside as ${name}.corrupt: it cannot be read` });
    }
  }
  return records;
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
