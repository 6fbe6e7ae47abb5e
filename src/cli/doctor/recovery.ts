import { access, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { declaredHandlers } from '../../core/config/handlers.ts';
import type { Config } from '../../core/config/schema.ts';
import { isWarmId } from '../../core/model/warm-id.ts';
import { RECORD_FORMAT, ROOT, STATE } from '../../core/state-layout.ts';
import { isRootTaken } from '../../host/root-claim.ts';
import { checkRoot } from '../../host/root-marker.ts';
import { namesIn } from '../../utils/fs/names.ts';

/** An action of the next start on the data of an earlier server. */
export interface Step {
  kind: 'pod' | 'container' | 'image' | 'guest' | 'network' | 'leftover';
  id: string;
  action: string;
}

const envelope = z.object({ format: z.int() });
const record = z.object({
  record: z.looseObject({ id: z.string(), phase: z.string().default(''), bootId: z.string().default('') }),
});
const guests = z.object({ vmids: z.record(z.string(), z.object({ owner: z.string() })) });
type StoredRecord = z.output<typeof record>['record'];

/** The records of one kind, and the ids with a damaged record, whose pods and containers are left alone. */
interface Stored {
  records: Map<string, StoredRecord>;
  damaged: Set<string>;
}

/**
 * The actions of the next start, from the records and the state directory: nothing is changed, and no program is run.
 * undefined while a server uses the directory, since it has done them already.
 */
export async function planRecovery({ root, state }: Config): Promise<Step[] | undefined> {
  const kind = await checkRoot(root).catch(() => 'foreign' as const);
  if (kind === 'foreign' || kind === 'empty') return [];
  if (await isRootTaken(root)) return undefined;
  const steps: Step[] = [];
  const read = (kind: Step['kind'], name: string) =>
    readRecords(kind, { directory: join(root, name), copies: join(state, STATE.records, name), steps });
  const pods = await read('pod', ROOT.sandboxes);
  const containers = await read('container', ROOT.containers);
  await read('image', ROOT.images);
  const bootId = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();

  for (const { id, phase, bootId: boot } of pods.records.values()) {
    if (phase === 'creating') steps.push({ kind: 'pod', id, action: 'remove: its creation was interrupted' });
    if (phase !== 'ready') continue;
    const isThere = boot === bootId && (await exists(join(state, STATE.sandboxes, id)));
    const action = isThere ? 'adopt, or stop if it has exited' : 'stop: it belongs to an earlier boot';
    steps.push({ kind: 'pod', id, action });
  }
  for (const { id, phase } of containers.records.values()) {
    if (phase === 'creating') steps.push({ kind: 'container', id, action: 'remove: its creation was interrupted' });
    else if (phase !== 'exited')
      steps.push({ kind: 'container', id, action: await fate(join(state, STATE.runner), id) });
  }
  steps.push(...(await warmSteps(join(root, ROOT.vmids))));
  steps.push(...(await networkSteps(join(root, ROOT.networks))));
  const orphans: [string, string, Stored][] = [
    ['root filesystem', join(root, ROOT.overlay, 'containers'), containers],
    ['volume', join(root, ROOT.volumes), containers],
    ['container', join(state, STATE.runner, 'containers'), containers],
    ...declaredHandlers().map(({ name, stateDirectory }): [string, string, Stored] => {
      return [`sandbox of the handler ${name}`, join(state, stateDirectory), pods];
    }),
  ];
  for (const [what, directory, known] of orphans) {
    for (const id of (await namesIn(directory)).sort()) {
      // Image volumes are named by the container's id and a number.
      const owner = id.split('.', 1)[0] ?? id;
      if (known.records.has(owner) || known.damaged.has(owner) || !/^[0-9a-f]{64}(\.\d+)?$/.test(id)) continue;
      steps.push({ kind: 'leftover', id, action: `remove: ${what} without a record` });
    }
  }
  return steps;
}

/** What becomes of the guests of the warm pool. */
async function warmSteps(file: string): Promise<Step[]> {
  const text = await readFile(file, 'utf8').catch(() => '{"vmids":{}}');
  const { vmids } = guests.safeParse(parsed(text)).data ?? { vmids: {} };
  return Object.entries(vmids)
    .filter(([, { owner }]) => isWarmId(owner))
    .map(([vmid]) => ({
      kind: 'guest',
      id: `CT ${vmid}`,
      action: 'adopt for the warm pool, or remove if it does not run or is not as a new one would be',
    }));
}

/** What becomes of networks without a pod. */
async function networkSteps(directory: string): Promise<Step[]> {
  const names = (await namesIn(directory)).filter((name) => name.endsWith('.json')).sort();
  return names.map((name) => {
    const id = name.slice(0, -'.json'.length);
    const isPrepared = id.startsWith('prepared-');
    return { kind: 'network', id, action: isPrepared ? 'adopt for a pod, or release' : 'release' };
  });
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

async function fate(runner: string, id: string): Promise<string> {
  if (await exists(join(runner, 'exits', id))) return 'record its exit code';
  if (await exists(join(runner, 'containers', id))) return 'adopt, or record its exit';
  return 'record exit code 255 and reason Unknown, unless its processes still run';
}

/** The records of one kind; unreadable files become steps. */
async function readRecords(
  kind: Step['kind'],
  { directory, copies, steps }: { directory: string; copies: string; steps: Step[] },
): Promise<Stored> {
  const records = new Map<string, StoredRecord>();
  const damaged = new Set<string>();
  for (const name of (await namesIn(directory)).sort()) {
    const id = name.replace(/\.json(\.corrupt)?$/, '').replace(/^(sha256)-/, '$1:');
    if (name.endsWith('.json.corrupt')) damaged.add(id);
    if (!name.endsWith('.json')) continue;
    try {
      const stored: unknown = JSON.parse(await readFile(join(directory, name), 'utf8'));
      if (envelope.parse(stored).format > RECORD_FORMAT) {
        steps.push({
          kind,
          id: name,
          action: `refuse to start: ${join(directory, name)} was written by a later version`,
        });
        damaged.add(id);
        continue;
      }
      const parsed = record.parse(stored);
      records.set(parsed.record.id, parsed.record);
    } catch (error) {
      damaged.add(id);
      steps.push({ kind, id: name, action: await fateOfDamaged(name, { directory, copies, error }) });
    }
  }
  return { records, damaged };
}

async function fateOfDamaged(
  name: string,
  { directory, copies, error }: { directory: string; copies: string; error: unknown },
): Promise<string> {
  // A system error, not invalid content.
  if (error instanceof Error && 'syscall' in error)
    return `refuse to start: ${join(directory, name)}: ${error.message}`;
  if (await exists(join(copies, name))) return 'restore from its backup: the file is damaged';
  return `rename to ${name}.corrupt, and leave its processes alone: the file is damaged`;
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
