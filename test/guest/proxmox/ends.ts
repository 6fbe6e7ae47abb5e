import { existsSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { eventually, HANG_MS } from '../../lib/eventually.ts';
import { IS_LONG, podsOf, type GuestPod, type GuestPods } from '../proxmox-pods.ts';

/** How an operator, or an accident, ends a guest; each resolves when Proxmox has done it. */
const ENDS: Readonly<Record<string, (pods: GuestPods, vmid: number) => Promise<unknown>>> = {
  stop: (pods, vmid) => pods.act('POST', vmid, '/status/stop'),
  shutdown: (pods, vmid) => pods.act('POST', vmid, '/status/shutdown', { timeout: 3600 }),
  reboot: (pods, vmid) => pods.act('POST', vmid, '/status/reboot', { timeout: 3600 }),
  kill: async (pods, vmid) => pods.node.cluster.state.runtime.crash(vmid),
  destroy: (pods, vmid) => pods.act('DELETE', vmid, '?force=1'),
  'stop and remove': async (pods, vmid) => {
    await pods.act('POST', vmid, '/status/stop');
    return pods.act('DELETE', vmid);
  },
};
/** With the server there, one of each kind: the guest is left, was started, or is gone. */
const SEEN = ['reboot', 'kill', 'destroy'];
/** Without it, `test/run` tries some of them. */
const UNSEEN = IS_LONG ? Object.keys(ENDS) : ['stop', 'reboot', 'stop and remove'];
const DESTROYED = ['destroy', 'stop and remove'];
const REASON = /CT \d+ is a Kubernetes pod that has ended/;

const pods = podsOf(test);

test.serial('an end of the guest ends the pod', async (t) => {
  const all = await runAll(SEEN);
  await endAll(t, all);
  await checkAll(t, all);
});

test.serial('an end of the guest ends the pod without the server', async (t) => {
  const all = await runAll(UNSEEN);
  const own = await pods().server.sh(all['stop']!.id, 'own', 'while [ ! -e /go ]; do sleep 0.1; done; exit 3');
  const pids = await Promise.all(
    [...Object.values(all).map(({ container }) => container), own].map((id) => pods().pidOf(id)),
  );
  await pods().server.end('SIGKILL');
  // One ends by itself, and its exit code stays.
  await writeFile(join('/proc', String(pids.at(-1)), 'root', 'go'), '');
  await gone(pids.at(-1)!);
  await endAll(t, all);
  await Promise.all(pids.map(gone));
  await pods().server.start();
  t.is((await pods().server.exit(own)).exitCode, 3);
  await checkAll(t, all);
});

test.serial("a VMID is used again when its last guest's unit has ended", async (t) => {
  const { node } = pods();
  await mkdir('/run/systemd/system', { recursive: true });
  t.teardown(() => rm('/run/systemd/system', { recursive: true }));
  const last = await pods().run('last');
  await node.keepUnit(last.vmid, true);
  const removal = pods().remove(last.id);
  await eventually('the removal of the guest', () => pods().vmids().length === 0);
  const beside = await pods().run('beside');
  t.is(beside.vmid, last.vmid + 1);
  await node.keepUnit(last.vmid, false);
  await removal;
  await eventually('a free VMID', async () => (await pods().map())[String(last.vmid)] === undefined);

  // A unit that nobody has seen swallows the start: nothing ran, and it is repeated.
  const { faults, tasks } = node.cluster.state;
  faults.add({ effect: { kind: 'task-hold' }, match: { type: 'vzcreate' } });
  const running = pods().run('again');
  await eventually('the create', () => tasks.all()[0]?.type === 'vzcreate');
  await node.keepUnit(last.vmid, true);
  faults.release();
  await eventually('a swallowed start', () => pods().log('vzstart', last.vmid).includes('unable to get PID'));
  await node.keepUnit(last.vmid, false);
  const again = await running;
  t.is(again.vmid, last.vmid);
  t.true(await pods().runs(again));
  await Promise.all([beside, again].map(({ id }) => pods().remove(id)));
  t.deepEqual(await pods().nothingLeft(), []);
});

test.serial('the create of a killed server fails after it', async (t) => {
  const { node, server } = pods();
  const { faults, tasks, requests } = node.cluster.state;
  for (const when of IS_LONG ? ['before', 'after'] : ['before']) {
    faults.add({ effect: { kind: 'slow-answer', milliseconds: HANG_MS }, match: { method: 'POST', path: '/lxc$' } });
    faults.add({ effect: { kind: 'task-hold' }, match: { type: 'vzcreate' } });
    faults.add({ effect: { kind: 'task-fail', when: 'before', message: 'planted' }, match: { type: 'vzcreate' } });
    const lost = t.throwsAsync(pods().run('cut'));
    await eventually('the create', () => tasks.all()[0]?.type === 'vzcreate');
    const [vmid = 0] = pods().vmids();
    await server.end('SIGKILL');
    await lost;
    if (when === 'before') faults.release();
    const asked = requests.length;
    const start = server.start();
    await eventually('a look for the task', () => requests.slice(asked).some((line) => line.endsWith('/tasks')));
    faults.release();
    await start;
    t.deepEqual(await pods().nothingLeft(), [], `it fails ${when} the next server's start`);
    t.regex(pods().log('vzcreate', vmid), /planted/);
  }
});

function gone(pid: number): Promise<true> {
  return eventually(`the end of process ${String(pid)}`, () => !existsSync(`/proc/${String(pid)}`));
}

async function runAll(names: readonly string[]): Promise<Record<string, GuestPod>> {
  const made = await Promise.all(names.map((name) => pods().run(name.replaceAll(' ', '-'))));
  return Object.fromEntries(names.map((name, index) => [name, made[index]!]));
}

/** Ends every guest, and tries to start those that are still there. */
async function endAll(t: ExecutionContext, all: Record<string, GuestPod>): Promise<void> {
  await Promise.all(Object.entries(all).map(([name, { vmid }]) => ENDS[name]!(pods(), vmid)));
  t.regex(pods().log('vzreboot', all['reboot']!.vmid), REASON);
  for (const [name, { vmid }] of Object.entries(all)) {
    if (DESTROYED.includes(name)) continue;
    await eventually('the end', () => !pods().isRunning(vmid));
    t.regex(await pods().act('POST', vmid, '/status/start'), /hookscript error for \d+ on pre-start/, name);
    t.regex(pods().log('vzstart', vmid), REASON, name);
  }
}

/** The server's view of the ended pods, and what is left when they are removed. */
async function checkAll(t: ExecutionContext, all: Record<string, GuestPod>): Promise<void> {
  for (const [name, { id, container }] of Object.entries(all)) {
    t.is((await pods().server.exit(container)).exitCode, 137, name);
    await pods().notReady(id);
  }
  await Promise.all(Object.values(all).map(({ id }) => pods().remove(id)));
  t.deepEqual(await pods().nothingLeft(), []);
}
