import test, { type ExecutionContext } from 'ava';
import { StatusCode } from '../../../../src/core/model/errors.ts';
import { AmbiguousOutcomeError } from '../../../../src/integrations/proxmox-api/errors/proxmox-error.ts';
import type { GuestConfig } from '../../../../src/integrations/proxmox-api/guests/answers.ts';
import { type Certificates, makeCertificates } from './certificates.ts';
import { clientOf, type Reply, type Seen, servePve } from './scripted-pve.ts';

const ct = { kind: 'lxc', node: 'pve1', vmid: 101 } as const;
const quick = { settleMs: 30 };
const isOurs = ({ tags }: GuestConfig) => tags.includes('ours');

let certificates: Certificates;
let dispose: () => Promise<void>;
test.before(async () => {
  ({ dispose, ...certificates } = await makeCertificates());
});
test.after.always(() => dispose());

/** The state of one guest, undefined while there is none, and of the task that works on it. */
interface State {
  guest?: { status?: string; tags?: string; lock?: string; memory?: number; snapshots?: string[]; forbidden?: true };
  task?: { upid: string; vmid: number; ended: boolean };
  /** Loses the answer of the next change, before or after its effect. */
  lose?: 'before' | 'after';
  /** Looks at the list of active tasks. */
  looks: number;
}

/** A node with at most one guest. `work` is called for each change. */
async function node(t: ExecutionContext, state: State, work: (seen: Seen) => void) {
  const pve = await servePve(t, certificates, (seen): Reply => {
    const { method, path, query } = seen;
    const { guest, task } = state;
    if (method !== 'GET') {
      const { lose } = state;
      delete state.lose;
      if (lose === 'before') return { drop: true };
      work(seen);
      return lose === 'after'
        ? { drop: true }
        : { data: 'UPID:pve1:00000001:00000001:00000001:vzcreate:101:cri@pve!k8s:' };
    }
    if (path === '/cluster/nextid') {
      const errors = { vmid: `VM ${query['vmid'] ?? ''} already exists` };
      return guest ? { status: 400, message: 'Parameter verification failed.', errors } : { data: query['vmid'] };
    }
    if (path === '/nodes/pve1/tasks') {
      state.looks++;
      const isActive = task && !task.ended && String(task.vmid) === query['vmid'];
      const entry = { upid: task?.upid, node: 'pve1', type: 'vzcreate', user: 'cri@pve', starttime: 1, id: '101' };
      return { data: isActive ? [entry] : [] };
    }
    if (path.startsWith('/nodes/pve1/tasks/')) {
      // It ends with the second look.
      const isOver = task?.ended === true;
      if (task) task.ended = true;
      return { data: isOver ? { status: 'stopped', exitstatus: 'OK' } : { status: 'running' } };
    }
    if (!guest) return { status: 500, message: "Configuration file 'nodes/pve1/lxc/101.conf' does not exist" };
    if (guest.forbidden) return { status: 403, message: 'Permission check failed (/vms/101, VM.Audit)' };
    if (path.endsWith('/snapshot')) return { data: (guest.snapshots ?? []).map((name) => ({ name })) };
    if (path.endsWith('/config')) return { data: { digest: 'x', ...guest } };
    return { data: { vmid: 101, status: 'stopped', ...guest } };
  });
  return { pve, client: await clientOf(t, certificates, [pve]) };
}

for (const lose of ['before', 'after'] as const) {
  test(`create: connection dropped ${lose} the effect`, async (t) => {
    const state: State = { lose, looks: 0 };
    const { client, pve } = await node(t, state, () => {
      state.guest = { tags: 'ours' };
    });
    await t.throwsAsync(client.guests.create(ct, { ostemplate: 'x' }), { instanceOf: AmbiguousOutcomeError });
    t.is(await client.recheck.created(ct, isOurs, quick), lose === 'before' ? 'notDone' : 'done');
    t.is(pve.seen.filter(({ method }) => method === 'POST').length, 1);
  });
}

test('create: an effect that comes late is waited for', async (t) => {
  const state: State = { looks: 0 };
  const { client, pve } = await node(t, state, () => undefined);
  const recheck = client.recheck.created(ct, isOurs, { settleMs: 300_000 });
  while (state.looks < 2) await new Promise((resolve) => setImmediate(resolve));
  state.task = { upid: 'UPID:pve1:00000001:00000001:00000001:vzcreate:101:cri@pve!k8s:', vmid: 101, ended: false };
  state.guest = { lock: 'create' };
  while (!pve.seen.some(({ path }) => path.endsWith('/status'))) await new Promise((resolve) => setImmediate(resolve));
  state.guest = { tags: 'ours' };
  t.is(await recheck, 'done');
});

test('create: another guest, one that is not to be seen, one cut off', async (t) => {
  const state: State = { looks: 0 };
  const { client } = await node(t, state, () => undefined);
  state.guest = { tags: 'theirs' };
  t.is(await client.recheck.created(ct, isOurs, quick), 'foreign');
  state.guest = { forbidden: true };
  t.is(await client.recheck.created(ct, isOurs, quick), 'foreign');
  state.guest = { lock: 'create' };
  t.is(await client.recheck.created(ct, isOurs, quick), 'incomplete');
});

test("clone: the source's task is followed", async (t) => {
  const state: State = { looks: 0, guest: { lock: 'create' } };
  state.task = { upid: 'UPID:pve1:00000001:00000001:00000001:vzclone:100:cri@pve!k8s:', vmid: 100, ended: false };
  const { client, pve } = await node(t, state, () => undefined);
  const recheck = client.recheck.created(ct, isOurs, { settleMs: 300_000, alsoWatch: [100] });
  while (!pve.seen.some(({ path }) => path.includes('vzclone'))) await new Promise((resolve) => setImmediate(resolve));
  state.guest = { tags: 'ours' };
  t.is(await recheck, 'done');
});

test('start, stop, delete: what is true counts', async (t) => {
  const state: State = { looks: 0, guest: { status: 'running' } };
  const { client } = await node(t, state, () => undefined);
  t.is(await client.recheck.started(ct, quick), 'done');
  t.is(await client.recheck.stopped(ct, quick), 'notDone');
  t.is(await client.recheck.deleted(ct, quick), 'notDone');
  state.guest = { status: 'stopped' };
  t.is(await client.recheck.started(ct, quick), 'notDone');
  t.is(await client.recheck.stopped(ct, quick), 'done');
  delete state.guest;
  t.is(await client.recheck.stopped(ct, quick), 'done');
  t.is(await client.recheck.deleted(ct, quick), 'done');
  await t.throwsAsync(client.recheck.started(ct, quick), { code: StatusCode.NOT_FOUND });
});

test('configuration and snapshot: what is true counts', async (t) => {
  const state: State = { looks: 0, guest: { memory: 64, snapshots: ['s1'], lock: 'snapshot' } };
  const { client } = await node(t, state, () => undefined);
  t.is(await client.recheck.configured(ct, ({ memory }) => memory === 64, quick), 'done');
  t.is(await client.recheck.configured(ct, ({ memory }) => memory === 65, quick), 'notDone');
  t.is(await client.recheck.snapshotTaken(ct, 's1', quick), 'notDone');
  delete state.guest?.lock;
  t.is(await client.recheck.snapshotTaken(ct, 's1', quick), 'done');
  t.is(await client.recheck.snapshotTaken(ct, 's2', quick), 'notDone');
});

test('a recheck bears failing reads, and ends with its signal', async (t) => {
  let failures = 2;
  const pve = await servePve(t, certificates, ({ path }): Reply => {
    if (failures-- > 0) return { status: 596, reason: 'Broken pipe', text: '' };
    if (path === '/cluster/nextid') return { status: 400, errors: { vmid: 'VM 101 already exists' } };
    return { data: path.endsWith('/tasks') ? [] : { vmid: 101, status: 'running' } };
  });
  const client = await clientOf(t, certificates, [pve], { rounds: 1 });
  t.is(await client.recheck.started(ct, quick), 'done');
  const waiting = new AbortController();
  const reason = new Error('gone');
  const stopped = client.recheck.stopped(ct, { signal: waiting.signal, settleMs: 300_000 });
  const before = pve.seen.length;
  while (pve.seen.length < before + 4) await new Promise((resolve) => setImmediate(resolve));
  waiting.abort(reason);
  t.is(await t.throwsAsync(stopped), reason);
  failures = Infinity;
  await t.throwsAsync(client.recheck.started(ct, { patienceMs: 0 }), { code: StatusCode.UNAVAILABLE });
  const abort = new AbortController();
  const recheck = client.recheck.stopped(ct, { signal: abort.signal });
  abort.abort(reason);
  t.is(await t.throwsAsync(recheck), reason);
});
