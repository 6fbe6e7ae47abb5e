import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import test, { type ExecutionContext } from 'ava';
import { RootfsSnapshotsService, RuntimeServiceService } from '../../../api/gen/cri.ts';
import { listSnapshots, makeCheckpoint, makeSnapshot, restoreSnapshot } from '../../../src/cli/client/snapshots.ts';
import { type CliContext, Input } from '../../../src/cli/command.ts';
import { StatusCode } from '../../../src/core/model/errors.ts';
import type { ServerFixture } from '../../integration/server-fixture.ts';
import { eventually } from '../../lib/eventually.ts';
import { run, TANK, zfs } from './pools.ts';
import { DATASET, type Shared, sharedServer } from './shared-server.ts';

const { checkpointRootfs, createSnapshot, removeSnapshot, restoreRootfs } = RootfsSnapshotsService;
/** Counts the SIGUSR1 that it gets in a file, and ends with code 7 after a SIGTERM. */
const COUNT = `trap 'i=$((i+1)); echo $i >/count' USR1; trap 'kill $!; exit 7' TERM
i=0; echo 0 >/count; echo ready; sleep 36000 & while :; do wait; done`;
const LATEST = { name: '', discardNewer: false, force: false };

/** Ids of a pod of each handler. */
interface Pods {
  lxc: string;
  crun: string;
}

let pods: Promise<Shared & Pods> | undefined;

/** The shared server, with two pods for the tests of this file. */
function serverOf(t: ExecutionContext): Promise<Shared & Pods> {
  const make = async () => {
    const { server, faults } = await sharedServer(t);
    return { server, faults, lxc: await server.pod('lxc', {}, 'lxc'), crun: await server.pod('crun', {}, 'crun') };
  };
  pods ??= make();
  return pods;
}

/** What a command prints. */
async function printed(
  server: ServerFixture,
  command: typeof listSnapshots,
  args: string[],
  options: Record<string, unknown> = {},
): Promise<string> {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  await command({ stdout, stderr } as unknown as CliContext, server.client, new Input(args, options));
  stdout.end();
  return text(stdout);
}

/** Lets a container, by its first process, count on. */
async function progress(pid: number): Promise<void> {
  const count = async () => Number(await readFile(join('/proc', String(pid), 'root', 'count'), 'utf8'));
  const before = await count();
  process.kill(pid, 'SIGUSR1');
  await eventually('progress of the container', async () => (await count()) > before);
}

async function firstProcess(server: ServerFixture, containerId: string): Promise<number> {
  const { info } = await server.client.call(RuntimeServiceService.containerStatus, { containerId, verbose: true });
  return (JSON.parse(info['info'] ?? '{}') as { pid: number }).pid;
}

async function isFrozen(pid: number): Promise<boolean> {
  const cgroup = (await readFile(`/proc/${String(pid)}/cgroup`, 'utf8')).trim().replace('0::', '');
  return /^frozen 1$/m.test(await readFile(`/sys/fs/cgroup${cgroup}/cgroup.events`, 'utf8'));
}

test.serial('checkpoints freeze a container, which restore takes back', async (t) => {
  const { server, faults, lxc } = await serverOf(t);
  const { client } = server;
  const containerId = await server.sh(lxc, 'app', COUNT);
  await server.said('lxc', 'app', 'ready');
  await server.exec(containerId, 'sh', '-c', 'echo before >/file');
  const pid = await firstProcess(server, containerId);
  const label = `spawn zfs snapshot -o proxmox-lxcri:kind=checkpoint ${DATASET}/rootfs/ID@checkpoint-`.slice(0, 100);
  /** A checkpoint that does not end before the fault is disarmed. */
  const begin = async () => {
    await faults.arm({ point: `${label}#0`, how: 'hold', errno: 'EIO' });
    const made = client.call(checkpointRootfs, { containerId });
    await faults.reached();
    t.true(await isFrozen(pid));
    return { made };
  };
  /** Lets the checkpoint end when the server has received the calls before. */
  const release = async () => {
    await client.call(RuntimeServiceService.version, { version: '' });
    await faults.arm();
  };

  const first = await begin();
  const executed = server.exec(containerId, 'cat', '/file');
  await release();
  const { snapshot, frozenMs } = await first.made;
  t.regex(snapshot?.name ?? '', /^checkpoint-\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  t.true(frozenMs > 0);
  t.is((await executed).stdout.toString(), 'before\n', 'exec waits for a checkpoint');

  await server.exec(containerId, 'sh', '-c', 'echo after >/file; echo new >/new');
  t.true((await client.call(restoreRootfs, { containerId, ...LATEST })).frozenMs > 0);
  const files = await server.exec(containerId, 'sh', '-c', 'cat /file; test -e /new || echo gone');
  t.is(files.stdout.toString(), 'before\ngone\n');
  await progress(pid);

  const { made: killed } = await begin();
  await Promise.all([t.throwsAsync(killed), server.end('SIGKILL')]);
  t.true(await isFrozen(pid));
  await server.start();
  t.false(await isFrozen(pid), 'the next server continues it');
  await progress(pid);

  const { made: last } = await begin();
  const stopped = client.call(RuntimeServiceService.stopContainer, { containerId, timeout: 60n });
  await release();
  await Promise.all([last, stopped]);
  t.is((await server.status(containerId)).exitCode, 7);
  t.is((await client.call(restoreRootfs, { containerId, ...LATEST })).frozenMs, 0, 'it has ended');
  t.regex(await server.log(), /"CheckpointRootfs succeeded".*"snapshot":"checkpoint-.*"frozenMs":\d+/);
});

/** Maps a file, changes it when /go exists, and unmaps it when that is gone. */
const MAPS = `
import mmap, os, time
with open('/map', 'w+b') as file:
  file.write(bytes(4096))
  file.flush()
  memory = mmap.mmap(file.fileno(), 4096)
memory[0:5] = b'first'
print('mapped', flush=True)
while not os.path.exists('/go'): time.sleep(0.02)
memory[0:5] = b'later'
print('changed', flush=True)
while os.path.exists('/go'): time.sleep(0.02)
memory.close()
print('unmapped', flush=True)
time.sleep(3600)
`;

test.serial('mapped files are in a checkpoint, and restored when unmapped', async (t) => {
  const { server, crun } = await serverOf(t);
  const mounts = ['/usr:/usr', '/usr/lib:/lib', '/usr/lib64:/lib64'].map((each) => {
    const [hostPath = '', containerPath = ''] = each.split(':');
    return { hostPath, containerPath, readonly: true };
  });
  const containerId = await server.create(crun, 'maps', { command: ['/usr/bin/python3', '-c', MAPS], mounts });
  await server.client.call(RuntimeServiceService.startContainer, { containerId });
  await server.said('crun', 'maps', 'mapped');
  await server.client.call(checkpointRootfs, { containerId });
  await server.exec(containerId, 'touch', '/go');
  await server.said('crun', 'maps', 'changed');
  const refused = server.client.call(restoreRootfs, { containerId, ...LATEST });
  await t.throwsAsync(refused, { code: StatusCode.FAILED_PRECONDITION, message: /mapped \/map for writing.*--force/ });
  await server.exec(containerId, 'rm', '/go');
  await server.said('crun', 'maps', 'unmapped');
  t.is((await server.exec(containerId, 'head', '-c', '5', '/map')).stdout.toString(), 'later');
  await server.client.call(restoreRootfs, { containerId, ...LATEST });
  t.is((await server.exec(containerId, 'head', '-c', '5', '/map')).stdout.toString(), 'first');
});

test.serial('snapshots are listed, kept and removed', async (t) => {
  const { server, crun } = await serverOf(t);
  const { client } = server;
  const containerId = await server.create(crun, 'made', { command: ['true'] });
  const dataset = `${DATASET}/rootfs/${containerId}`;
  t.is(await printed(server, makeSnapshot, ['made', 'first']), 'first\n');
  await run('zfs', 'snapshot', `${dataset}@mine`);
  const one = (await printed(server, makeCheckpoint, ['made'])).trim();
  const { snapshot, removed } = await client.call(checkpointRootfs, { containerId, keepCount: 1 });
  t.deepEqual(removed, [one]);
  const two = snapshot?.name ?? '';
  const rows = (await printed(server, listSnapshots, ['made'])).split('\n').map((line) => line.split(/ +/).slice(0, 2));
  t.deepEqual(rows.slice(1, -1), [
    ['first', 'snapshot'],
    ['mine', 'other'],
    [two, 'checkpoint'],
  ]);

  const fails = (call: Promise<unknown>, code: StatusCode, message: RegExp) => t.throwsAsync(call, { code, message });
  const { ALREADY_EXISTS, FAILED_PRECONDITION } = StatusCode;
  await fails(client.call(createSnapshot, { containerId, name: 'first' }), ALREADY_EXISTS, /first/);
  const older = client.call(restoreRootfs, { containerId, ...LATEST, name: 'first' });
  await fails(older, FAILED_PRECONDITION, new RegExp(`newer than first: mine, ${two};`));
  t.is(await printed(server, restoreSnapshot, ['made', 'first'], { 'discard-newer': true }), 'first\n');
  await zfs.clone(`${dataset}@first`, `${TANK}/clone`);
  await run('zfs', 'hold', 'backup', `${dataset}@first`);
  const removal = client.call(removeSnapshot, { containerId, name: 'first' });
  await fails(removal, FAILED_PRECONDITION, /in use by clone tank\/clone, hold of "zfs holds tank\/.*@first"/);
  await run('zfs', 'release', 'backup', `${dataset}@first`);
  await zfs.destroy(`${TANK}/clone`);
  await client.call(removeSnapshot, { containerId, name: 'first' });
});

test.serial('snapshots go with their containers', async (t) => {
  const { server } = await serverOf(t);
  t.not(await run('zfs', 'list', '-Hro', 'name', '-t', 'snapshot', `${DATASET}/rootfs`), '');
  await server.clear();
  t.is(await run('zfs', 'list', '-Hro', 'name', '-t', 'snapshot', `${DATASET}/rootfs`), '');
});
