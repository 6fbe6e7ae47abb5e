import test from 'ava';
import type { ExecutionContext } from 'ava';
import { existsSync } from 'node:fs';
import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ContainerState, RuntimeServiceService } from '../../api/gen/cri.ts';
import { eventually } from '../lib/eventually.ts';
import { ServerFixture } from './server-fixture.ts';
import { FAULTY_PROGRAM, Faults } from './walk-faults.ts';

async function make(t: ExecutionContext) {
  const server = await ServerFixture.make(t, '', { program: FAULTY_PROGRAM });
  return { server, faults: new Faults(server.directory) };
}

const { listPodSandbox, removeContainer, removePodSandbox, runPodSandbox } = RuntimeServiceService;

for (const handler of ['lxc', 'crun']) {
  test.serial(`an exit unreadable at the start is read later, on ${handler}`, async (t) => {
    const { server, faults } = await make(t);
    const pod = await server.pod('p', {}, handler);
    const id = await server.sh(pod, 'c', 'until [ -e /dev/shm/go ]; do usleep 20000; done; exit 7');
    await server.exec(id, 'touch', '/dev/shm/x');
    await server.end('SIGKILL');
    const pid = await firstProcess(server, id);
    await writeFile(join(`/proc/${String(pid)}/root`, 'dev/shm/go'), '');
    await eventually('the exit', () => Promise.resolve(!existsSync(`/proc/${String(pid)}`)));
    await faults.armStart({ point: 'read:readFileSync state/runner/exits/ID#0', how: 'fail', errno: 'EIO' });
    await server.start();
    t.is((await faults.arm()).hits, 1);
    const status = await server.exit(id);
    t.is(status.exitCode, 7);
    t.is(status.state, ContainerState.CONTAINER_EXITED);
  });
}

test.serial('an interrupted creation that cannot be removed is retried', async (t) => {
  const { server, faults } = await make(t);
  const pod = await server.pod('p');
  await faults.arm({ point: 'rename root/overlay/containers/ID/rootfs.json#0', how: 'die-after', errno: 'EIO' });
  await t.throwsAsync(server.create(pod, 'c', { command: ['true'] }));
  const [name = ''] = await readdir(join(server.directory, 'state/records/containers'));
  t.regex(name, /^[0-9a-f]{64}\.json$/);
  await server.end('SIGKILL');
  await faults.armStart({ point: 'rename root/overlay/removed/UUID#0', how: 'fail', errno: 'EIO' });
  await server.start();
  const records = ['root/containers', 'state/records/containers'].map((kind) => join(server.directory, kind, name));
  await eventually('the removal', () => Promise.resolve(!records.some((record) => existsSync(record))));
  t.is((await faults.arm()).hits, 1);
});

test.serial('an interrupted removal of an interrupted creation is completed', async (t) => {
  const { server, faults } = await make(t);
  const config = server.podConfig('p');
  const request = { config, runtimeHandler: '' };
  await faults.arm({ point: 'writeFileSync state/sandboxes/ID/files/hosts#0', how: 'die-before', errno: 'EIO' });
  await t.throwsAsync(server.client.call(runPodSandbox, request));
  await server.end('SIGKILL');
  await faults.armStart({ point: 'rename root/sandboxes/ID.json#0', how: 'die-after', errno: 'EIO' });
  await t.throwsAsync(server.start());
  await server.start();
  const { items } = await server.client.call(listPodSandbox, { filter: undefined });
  t.deepEqual(items, []);
  await server.client.call(runPodSandbox, request);
});

test.serial('an orphan that cannot be removed is retried', async (t) => {
  const { server, faults } = await make(t);
  const id = 'ab'.repeat(32);
  const orphan = join(server.directory, 'root/volumes', id);
  await server.end('SIGTERM');
  await mkdir(join(orphan, '0'), { recursive: true });
  await faults.armStart({ point: 'rename root/volumes/removed/UUID#0', how: 'fail', errno: 'EIO' });
  await server.start();
  await eventually('the removal', () => Promise.resolve(!existsSync(orphan)));
  const { hits, passed } = await faults.arm();
  t.is(hits, 1, passed.join('\n'));
});

test.serial('a backup that cannot be removed is retried', async (t) => {
  const { server, faults } = await make(t);
  const pod = await server.pod('p');
  const container = await server.sh(pod, 'c', 'true');
  const backup = (kind: string, id: string) => join(server.directory, 'state/records', kind, `${id}.json`);
  t.true(existsSync(backup('containers', container)));
  await faults.arm({ point: 'rmSync state/records/containers/ID.json#0', how: 'fail', errno: 'EIO' });
  await server.client.call(removeContainer, { containerId: container });
  t.is((await faults.arm()).hits, 1);
  await eventually('the removal', () => Promise.resolve(!existsSync(backup('containers', container))));
  await faults.arm({ point: 'rmSync state/records/sandboxes/ID.json#0', how: 'fail', errno: 'EIO' });
  await server.client.call(removePodSandbox, { podSandboxId: pod });
  t.is((await faults.arm()).hits, 1);
  await eventually('the removal', () => Promise.resolve(!existsSync(backup('sandboxes', pod))));
});

async function firstProcess(server: ServerFixture, id: string): Promise<number> {
  const record = await readFile(join(server.directory, 'state/runner/containers', id, 'runner.json'), 'utf8');
  return (JSON.parse(record) as { container: { pid: number } }).container.pid;
}
