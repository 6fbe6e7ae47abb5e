import type { ProxmoxClient } from '../../../src/integrations/proxmox-api/client.ts';
import {
  AmbiguousOutcomeError,
  isKind,
  ProxmoxError,
} from '../../../src/integrations/proxmox-api/errors/proxmox-error.ts';
import type { Verdict } from '../../../src/integrations/proxmox-api/recheck/settle.ts';
import { TaskFailedError } from '../../../src/integrations/proxmox-api/tasks/follow.ts';
import type { Upid } from '../../../src/integrations/proxmox-api/tasks/upid.ts';
import type { Guest, Operation, Outcome } from './model.ts';

/** Ends the wait for a task that would never end. */
const HANGS_MS = 60_000;
const QUICK = { firstMs: 1, longestMs: 5 };
/** No request of these tests is under way any more when its answer is lost. */
const SETTLE = { settleMs: 20 };
const SETTINGS = {
  lxc: { ostemplate: 'local:vztmpl/mini.tar.gz', rootfs: 'btr:0', unprivileged: true },
  qemu: { scsi0: 'btr:1' },
};

/**
 * Does an operation as the client is meant to be used: once; what is uncertain is read again, and an error that is not
 * uncertain is believed. `amid` happens when the server has answered and the task is not yet followed.
 */
export async function perform(
  client: ProxmoxClient,
  operation: Operation,
  amid: () => void = () => undefined,
): Promise<Outcome> {
  try {
    const upid = await begin(client, operation);
    amid();
    if (upid !== undefined) await client.tasks.follow(upid, { ...QUICK, signal: AbortSignal.timeout(HANGS_MS) });
    return 'done';
  } catch (error) {
    if (!(error instanceof ProxmoxError)) throw error;
    if (!(error instanceof AmbiguousOutcomeError) && !(error instanceof TaskFailedError)) return 'refused';
    return reread(client, operation);
  }
}

function begin({ guests, snapshots }: ProxmoxClient, operation: Operation): Promise<Upid | undefined> {
  const { name, kind, node, vmid, newid, force, serial } = operation;
  const ref = { kind, node, vmid };
  const description = `guest ${serial}`;
  if (name === 'create') return guests.create(ref, { ...SETTINGS[kind], memory: serial, description });
  if (name === 'clone') return guests.clone(ref, { newid, description, full: true });
  if (name === 'config') return guests.configure(ref, { set: { memory: serial } }).then(() => undefined);
  if (name === 'start') return guests.start(ref);
  if (name === 'stop') return guests.stop(ref);
  if (name === 'shutdown') return guests.shutdown(ref, { timeout: 60 });
  if (name === 'snapshot') return snapshots.create(ref, { name: `s${serial}` });
  return guests.delete(ref, { force, purge: true, destroyUnreferencedDisks: true });
}

/** Reads what came of the operation; the reads may fail now and then, too. */
async function reread(client: ProxmoxClient, operation: Operation): Promise<Outcome> {
  for (let left = 5; ; left--) {
    try {
      return await verdict(client, operation);
    } catch (error) {
      // The guest is not there.
      if (isKind(error, 'notFound')) return 'notDone';
      if (!(error instanceof ProxmoxError) || left === 0) throw error;
    }
  }
}

function verdict({ recheck }: ProxmoxClient, operation: Operation): Promise<Verdict> {
  const { name, kind, node, vmid, newid, serial } = operation;
  const ref = { kind, node, vmid };
  const isOurs = ({ description }: { description: string | undefined }): boolean => description === `guest ${serial}`;
  if (name === 'create') return recheck.created(ref, isOurs, SETTLE);
  if (name === 'clone') return recheck.created({ ...ref, vmid: newid }, isOurs, { ...SETTLE, alsoWatch: [vmid] });
  if (name === 'config') return recheck.configured(ref, ({ memory }) => memory === serial, SETTLE);
  if (name === 'start') return recheck.started(ref, SETTLE);
  if (name === 'stop' || name === 'shutdown') return recheck.stopped(ref, SETTLE);
  if (name === 'snapshot') return recheck.snapshotTaken(ref, `s${serial}`, SETTLE);
  return recheck.deleted(ref, SETTLE);
}

/** All guests of the cluster as the client sees them, by VMID. */
export async function clientView(client: ProxmoxClient, nodes: readonly string[]): Promise<Guest[]> {
  const found: Guest[] = [];
  for (const node of nodes) {
    for (const kind of ['lxc', 'qemu'] as const) {
      for (const { vmid } of await client.guests.list(kind, node)) {
        const ref = { kind, node, vmid };
        const { description, memory, lock } = await client.guests.config(ref);
        const running = (await client.guests.status(ref)).status === 'running';
        const snapshots = (await client.snapshots.list(ref)).map(({ name }) => name);
        found.push({ ...ref, mark: description, memory, running, lock, snapshots });
      }
    }
  }
  return found.sort((a, b) => a.vmid - b.vmid);
}
