import { readFile } from 'node:fs/promises';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import test, { type ExecutionContext } from 'ava';
import { RootfsSnapshotsService, RuntimeServiceService } from '../../../api/gen/cri.ts';
import {
  listSnapshots as listSnapshotsOf,
  makeCheckpoint,
  makeSnapshot,
  restoreSnapshot,
} from '../../../src/cli/client/snapshots.ts';
import { type CliContext, Input } from '../../../src/cli/command.ts';
import { StatusCode } from '../../../src/core/model/errors.ts';
import { ServerFixture } from '../../integration/server-fixture.ts';
import { FAULTY_PROGRAM, Faults } from '../../integration/walk-faults.ts';
import { eventually } from '../../lib/eventually.ts';
import { run, TANK, zfs } from './pools.ts';

const { checkpointRootfs, createSnapshot, listSnapshots, removeSnapshot, restoreRootfs } = RootfsSnapshotsService;
const { removeContainer, stopContainer } = RuntimeServiceService;
const DATASET = `${TANK}/snapshots-of-containers`;
/** Counts the SIGUSR1 that it gets in a file, and ends with code 7 after a SIGTERM. */
const COUNT = `trap 'i=$((i+1)); echo $i >/count' USR1; trap 'kill $!; exit 7' TERM
i=0; echo 0 >/count; echo ready; sleep 36000 & while :; do wait; done`;
const LATEST = { name: '', discardNewer: false, force: false };

let shared: ServerFixture | undefined;

/** One server for the tests of this file, with fault points; each removes its pods. */
async function serverOf(t: ExecutionContext): Promise<ServerFixture> {
  if (shared === undefined) {
    await zfs.createFilesystem(DATASET);
    const cleanup: (() => unknown)[] = [];
    const owner = { teardown: (step: () => unknown) => void cleanup.push(step), log: t.log, passed: true };
    const extra = `[rootfs]\ndataset = "${DATASET}"\ncheckpoint_keep_count = 2\n`;
    shared = await ServerFixture.make(owner, extra, { program: FAULTY_PROGRAM });
    end = async () => {
      for (const step of cleanup.reverse()) await step();
    };
  }
  const server = shared;
  t.teardown(() => server.reset(t));
  return server;
}

let end = (): Promise<void> => Promise.resolve();

async function names(server: ServerFixture, containerId: string): Promise<string[]> {
  return (await server.client.call(listSnapshots, { containerId })).snapshots.map(({ name }) => name);
}

/** What a command prints. */
async function printed(
  server: ServerFixture,
  command: typeof listSnapshotsOf,
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
  const count = async () => Number(await readFile(`/proc/${String(pid)}/root/count`, 'utf8'));
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

test.serial('running containers are checkpointed and restored', async (t) => {
  const server = await serverOf(t);
  for (const handler of ['lxc', 'crun']) {
    const containerId = await server.sh(await server.pod(handler, {}, handler), 'app', COUNT);
    await server.said(handler, 'app', 'ready');
    await server.exec(containerId, 'sh', '-c', 'echo before >/file');
    const made = await server.client.call(checkpointRootfs, { containerId });
    t.regex(made.snapshot?.name ?? '', /^checkpoint-\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    t.true(made.frozenMs > 0);
    await server.exec(containerId, 'sh', '-c', 'echo after >/file; echo new >/new');
    t.true((await server.client.call(restoreRootfs, { containerId, ...LATEST })).frozenMs > 0);
    const files = await server.exec(containerId, 'sh', '-c', 'cat /file; test -e /new || echo gone');
    t.is(files.stdout.toString(), 'before\ngone\n');
    await progress(await firstProcess(server, containerId));

    await server.client.call(stopContainer, { containerId, timeout: 60n });
    t.is((await server.status(containerId)).exitCode, 7);
    t.is((await server.client.call(restoreRootfs, { containerId, ...LATEST })).frozenMs, 0, 'it has ended');
    await server.client.call(removeContainer, { containerId });
  }
  t.is(await run('zfs', 'list', '-Hro', 'name', '-t', 'snapshot', `${DATASET}/rootfs`), '');
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
  const server = await serverOf(t);
  const mounts = [
    ['/usr', '/usr'],
    ['/usr/lib', '/lib'],
    ['/usr/lib64', '/lib64'],
  ].map(([hostPath, containerPath]) => ({ hostPath: hostPath!, containerPath: containerPath!, readonly: true }));
  const containerId = await server.create(await server.pod('p'), 'app', {
    command: ['/usr/bin/python3', '-c', MAPS],
    mounts,
  });
  await server.client.call(RuntimeServiceService.startContainer, { containerId });
  await server.said('p', 'app', 'mapped');
  await server.client.call(checkpointRootfs, { containerId });
  await server.exec(containerId, 'touch', '/go');
  await server.said('p', 'app', 'changed');
  const refused = server.client.call(restoreRootfs, { containerId, ...LATEST });
  await t.throwsAsync(refused, { code: StatusCode.FAILED_PRECONDITION, message: /mapped \/map for writing.*--force/ });
  await server.exec(containerId, 'rm', '/go');
  await server.said('p', 'app', 'unmapped');
  t.is((await server.exec(containerId, 'head', '-c', '5', '/map')).stdout.toString(), 'later');
  await server.client.call(restoreRootfs, { containerId, ...LATEST });
  t.is((await server.exec(containerId, 'head', '-c', '5', '/map')).stdout.toString(), 'first');
});

test.serial('snapshots are listed, kept and removed', async (t) => {
  const server = await serverOf(t);
  const { client } = server;
  const containerId = await server.create(await server.pod('p'), 'app', { command: ['true'] });
  const dataset = `${DATASET}/rootfs/${containerId}`;
  const fails = (call: Promise<unknown>, code: StatusCode, message: RegExp) => t.throwsAsync(call, { code, message });
  await fails(
    client.call(restoreRootfs, { containerId, ...LATEST }),
    StatusCode.FAILED_PRECONDITION,
    /has no checkpoint/,
  );

  t.is(await printed(server, makeSnapshot, ['app', 'first']), 'first\n');
  await run('zfs', 'snapshot', `${dataset}@mine`);
  await printed(server, makeCheckpoint, ['app']);
  const { snapshot: second } = await client.call(checkpointRootfs, { containerId });
  const [two, three] = [second?.name ?? '', (await printed(server, makeCheckpoint, ['app'])).trim()];
  t.deepEqual(await names(server, containerId), ['first', 'mine', two, three], 'without the oldest checkpoint');
  const kinds = (await printed(server, listSnapshotsOf, ['app'])).split('\n').map((line) => line.split(/ +/)[1]);
  t.deepEqual(kinds, ['KIND', 'snapshot', 'other', 'checkpoint', 'checkpoint', undefined]);

  const { FAILED_PRECONDITION, ALREADY_EXISTS, INVALID_ARGUMENT, NOT_FOUND } = StatusCode;
  await fails(client.call(createSnapshot, { containerId, name: 'first' }), ALREADY_EXISTS, /first/);
  await fails(client.call(createSnapshot, { containerId, name: 'a/b' }), INVALID_ARGUMENT, /^name: /);
  await fails(client.call(createSnapshot, { containerId: 'f'.repeat(64), name: '' }), NOT_FOUND, /container/);
  await fails(client.call(removeSnapshot, { containerId, name: 'none' }), NOT_FOUND, /"none" not found/);
  await fails(
    client.call(removeSnapshot, { containerId, name: 'mine' }),
    FAILED_PRECONDITION,
    /not made by this server/,
  );
  const older = { containerId, ...LATEST, name: 'first' };
  await fails(client.call(restoreRootfs, older), FAILED_PRECONDITION, new RegExp(`mine, ${two}, ${three}`));
  await zfs.clone(`${dataset}@${two}`, `${TANK}/clone`);
  await run('zfs', 'hold', 'backup', `${dataset}@first`);
  const inUse = /in use by clone tank\/clone/;
  await fails(client.call(restoreRootfs, { ...older, discardNewer: true }), FAILED_PRECONDITION, inUse);
  await fails(client.call(removeSnapshot, { containerId, name: two }), FAILED_PRECONDITION, inUse);
  await fails(client.call(removeSnapshot, { containerId, name: 'first' }), FAILED_PRECONDITION, /in use by hold/);
  const kept = await printed(server, makeCheckpoint, ['app'], { 'keep-count': '1', output: 'json' });
  t.deepEqual((JSON.parse(kept) as { removed: string[] }).removed, [three], 'the one with a clone stays');
  await run('zfs', 'release', 'backup', `${dataset}@first`);
  await zfs.destroy(`${TANK}/clone`);
  t.is(await printed(server, restoreSnapshot, ['app', 'first'], { 'discard-newer': true }), 'first\n');
  t.deepEqual(await names(server, containerId), ['first']);
  await client.call(removeSnapshot, { containerId, name: 'first' });
  t.deepEqual(await names(server, containerId), []);
});

test.serial('exec and stop wait for a checkpoint, a restart ends it', async (t) => {
  const server = await serverOf(t);
  const faults = new Faults(server.directory);
  const containerId = await server.sh(await server.pod('p'), 'app', COUNT);
  await server.said('p', 'app', 'ready');
  const pid = await firstProcess(server, containerId);
  const label = `spawn zfs snapshot -o proxmox-lxcri:kind=checkpoint ${DATASET}/rootfs/ID@checkpoint-`.slice(0, 100);
  const begin = async () => {
    await faults.arm({ point: `${label}#0`, how: 'hold', errno: 'EIO' });
    const made = server.client.call(checkpointRootfs, { containerId });
    made.catch(() => undefined);
    await faults.reached();
    t.true(await isFrozen(pid));
    return { made };
  };

  const { made: killed } = await begin();
  await Promise.all([t.throwsAsync(killed), server.end('SIGKILL')]);
  t.true(await isFrozen(pid));
  await server.start();
  t.false(await isFrozen(pid));
  await progress(pid);
  t.deepEqual(await names(server, containerId), []);

  for (const end of [false, true]) {
    const { made } = await begin();
    const waiting = end
      ? server.client.call(stopContainer, { containerId, timeout: 60n })
      : server.exec(containerId, 'echo', 'executed').then(({ stdout }) => t.is(stdout.toString(), 'executed\n'));
    // Answered after the server has received the call before.
    await server.client.call(RuntimeServiceService.version, { version: '' });
    await faults.arm();
    await Promise.all([made, waiting]);
  }
  t.is((await server.status(containerId)).exitCode, 7);
  t.is((await names(server, containerId)).length, 2);
});

test.serial('the server of the snapshots ends', async (t) => {
  await end();
  t.deepEqual(await run('zfs', 'list', '-Hro', 'name', '-t', 'snapshot', `${DATASET}/rootfs`), '');
});
