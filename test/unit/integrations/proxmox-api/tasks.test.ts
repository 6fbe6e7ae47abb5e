import test from 'ava';
import { StatusCode } from '../../../../src/core/model/errors.ts';
import { AmbiguousOutcomeError } from '../../../../src/integrations/proxmox-api/errors/proxmox-error.ts';
import type { Observer } from '../../../../src/integrations/proxmox-api/observe.ts';
import { TaskFailedError } from '../../../../src/integrations/proxmox-api/tasks/follow.ts';
import { parseUpid } from '../../../../src/integrations/proxmox-api/tasks/upid.ts';
import { type Certificates, makeCertificates } from './certificates.ts';
import { clientOf, type Reply, type Seen, servePve, TOKEN } from './scripted-pve.ts';

const UPID = 'UPID:pve1:0000049B:00058DF8:6B036CD9:vzstart:101:cri@pve!k8s:';
/** Looks one after the other without much of a pause. */
const quick = { firstMs: 1, longestMs: 5 };

let certificates: Certificates;
let dispose: () => Promise<void>;
test.before(async () => {
  ({ dispose, ...certificates } = await makeCertificates());
});
test.after.always(() => dispose());

/** A task that runs for some looks and ends with `exit`; its log has `lines`. */
function taskServer(looks: number, exit: string, lines: readonly string[] = []) {
  let left = looks;
  return ({ method, path, query }: Seen): Reply => {
    if (method === 'DELETE') return { data: null };
    if (path.endsWith('/log')) {
      const start = Number(query['start']);
      const data = lines.map((t, index) => ({ n: index + 1, t })).slice(start, start + Number(query['limit']));
      return { data, total: lines.length };
    }
    const common = { upid: UPID, node: 'pve1', pid: 1179, type: 'vzstart', id: '101', user: 'cri@pve' };
    return { data: left-- > 0 ? { ...common, status: 'running' } : { ...common, status: 'stopped', exitstatus: exit } };
  };
}

test('the id of a task is read', (t) => {
  t.like(parseUpid(UPID), {
    node: 'pve1',
    pid: 0x49b,
    pstart: 0x58df8,
    starttime: 0x6b036cd9,
    type: 'vzstart',
    id: '101',
    user: 'cri@pve!k8s',
  });
  t.is(parseUpid('UPID:pve1:000002D9:1000D3125:6B038066:imgcopy::root@pam:').id, '');
  for (const bad of [
    '',
    'UPID:',
    UPID.slice(0, -1),
    UPID.replace('pve1', 'a/b'),
    `${UPID}x`,
    UPID.replace('101', '1/1'),
  ]) {
    t.throws(() => parseUpid(bad), { code: StatusCode.INVALID_ARGUMENT }, bad);
  }
});

test('a task is followed to its end', async (t) => {
  const pve = await servePve(t, certificates, taskServer(3, 'OK'));
  const client = await clientOf(t, certificates, [pve]);
  t.is((await client.tasks.follow(UPID, quick)).warnings, 0);
  t.deepEqual(
    pve.seen.map(({ path }) => path),
    Array<string>(4).fill(`/nodes/pve1/tasks/${UPID}/status`),
  );
});

test('warnings are a success', async (t) => {
  const pve = await servePve(t, certificates, taskServer(0, 'WARNINGS: 3'));
  const client = await clientOf(t, certificates, [pve]);
  t.is((await client.tasks.follow(UPID, quick)).warnings, 3);
});

test('a failed task shows the last lines of its log', async (t) => {
  const lines = Array.from({ length: 40 }, (_, index) => `line ${index + 1}`);
  const exit = "startup for container '101' failed";
  const pve = await servePve(t, certificates, taskServer(1, exit, [...lines, `with ${TOKEN}`, `TASK ERROR: ${exit}`]));
  const client = await clientOf(t, certificates, [pve]);
  const error = await t.throwsAsync(client.tasks.follow(UPID, quick), { instanceOf: TaskFailedError });
  t.is(error?.exitStatus, exit);
  t.deepEqual(error?.log, [...lines.slice(-9), 'with [redacted]']);
  t.regex(
    error?.message ?? '',
    /^Proxmox API: task vzstart of 101 on pve1: failed: startup .*line 32 \| .* \| with \[red/,
  );
  t.is(error?.code, StatusCode.UNKNOWN);
});

for (const [exit, kind, code] of [
  ['CT is locked (backup)', 'locked', StatusCode.FAILED_PRECONDITION],
  ["Configuration file 'nodes/pve1/lxc/101.conf' does not exist", 'notFound', StatusCode.NOT_FOUND],
  ['unexpected status', 'failed', StatusCode.UNKNOWN],
  ["can't lock file '/run/lock/lxc/pve-config-101.lock' - got timeout", 'lockTimeout', StatusCode.UNAVAILABLE],
] as const) {
  test(`exit status: ${exit}`, async (t) => {
    const pve = await servePve(t, certificates, taskServer(0, exit, ['no content']));
    const client = await clientOf(t, certificates, [pve]);
    const error = await t.throwsAsync(client.tasks.follow(UPID, quick), { instanceOf: TaskFailedError });
    t.like(error, { kind, code, log: [] });
  });
}

test('an abort ends the wait, and the task if asked', async (t) => {
  const reason = new Error('the pod is gone');
  for (const stopOnAbort of [false, true]) {
    const abort = new AbortController();
    const answer = taskServer(Infinity, 'OK');
    const pve = await servePve(t, certificates, (seen) => {
      if (seen.method === 'GET' && pve.seen.length === 2) setImmediate(() => abort.abort(reason));
      return answer(seen);
    });
    const client = await clientOf(t, certificates, [pve]);
    const following = client.tasks.follow(UPID, { ...quick, signal: abort.signal, stopOnAbort });
    t.is(await t.throwsAsync(following), reason);
    t.is(pve.seen.filter(({ method }) => method === 'DELETE').length, stopOnAbort ? 1 : 0);
  }
});

test('failing looks are borne for a while', async (t) => {
  let looks = 0;
  const answer = taskServer(0, 'OK');
  const pve = await servePve(t, certificates, (seen) =>
    looks++ < 3 ? { status: 595, reason: 'Connection refused', text: '' } : answer(seen),
  );
  const client = await clientOf(t, certificates, [pve]);
  t.is((await client.tasks.follow(UPID, quick)).warnings, 0);
  looks = -Infinity;
  const error = await t.throwsAsync(client.tasks.follow(UPID, { ...quick, patienceMs: 0 }), {
    instanceOf: AmbiguousOutcomeError,
    code: StatusCode.UNAVAILABLE,
  });
  t.deepEqual(error?.reread, [`/nodes/pve1/tasks/${UPID}/status`]);
});

test('a failed look says nothing about the task', async (t) => {
  let looks = 0;
  const answer = taskServer(0, 'OK');
  const failing = await servePve(t, certificates, (seen) =>
    looks++ < 2 ? { status: 500, message: 'something broke' } : answer(seen),
  );
  const client = await clientOf(t, certificates, [failing]);
  t.is((await client.tasks.follow(UPID, quick)).warnings, 0);
  const refusing = await servePve(t, certificates, () => ({ status: 403, message: 'Permission check failed' }));
  const other = await clientOf(t, certificates, [refusing]);
  await t.throwsAsync(other.tasks.follow(UPID, quick), { instanceOf: AmbiguousOutcomeError });
});

test('a task that the node forgot is ambiguous', async (t) => {
  const pve = await servePve(t, certificates, () => ({
    status: 400,
    message: 'Parameter verification failed.',
    errors: { upid: 'no such task' },
  }));
  const client = await clientOf(t, certificates, [pve]);
  await t.throwsAsync(client.tasks.follow(UPID, quick), { instanceOf: AmbiguousOutcomeError });
});

test('calls and tasks are observed', async (t) => {
  const observed: unknown[] = [];
  const observer: Observer = {
    call: ({ endpoint, outcome, seconds }) => observed.push([endpoint, outcome, seconds >= 0]),
    task: ({ type, outcome, seconds }) => observed.push([type, outcome, seconds >= 0]),
  };
  const pve = await servePve(t, certificates, ({ path }) =>
    path.endsWith('/status')
      ? { data: { status: 'stopped', exitstatus: 'WARNINGS: 1' } }
      : path.endsWith('/start')
        ? { data: UPID }
        : { status: 500, message: 'CT 101 not running' },
  );
  const client = await clientOf(t, certificates, [pve], { observer });
  const guest = { kind: 'lxc', node: 'pve1', vmid: 101 } as const;
  await client.tasks.follow(await client.guests.start(guest));
  await t.throwsAsync(client.guests.stop(guest));
  t.deepEqual(observed, [
    ['POST /nodes/{node}/lxc/{vmid}/status/start', 'ok', true],
    ['GET /nodes/{node}/tasks/{upid}/status', 'ok', true],
    ['vzstart', 'warnings', true],
    ['POST /nodes/{node}/lxc/{vmid}/status/stop', 'notRunning', true],
  ]);
});

test('tasks are listed with the length of the whole list', async (t) => {
  const pve = await servePve(t, certificates, () => ({
    data: [
      { upid: UPID, node: 'pve1', type: 'vzstart', id: '101', user: 'cri@pve', starttime: '7', status: 'RUNNING' },
    ],
    total: 59,
  }));
  const client = await clientOf(t, certificates, [pve]);
  const { data, total } = await client.tasks.list('pve1', { source: 'active', vmid: 101, limit: 1 });
  t.is(total, 59);
  t.like(data[0], { starttime: 7, endtime: undefined, status: 'RUNNING' });
  t.deepEqual(pve.seen[0]?.query, { source: 'active', vmid: '101', limit: '1' });
});
