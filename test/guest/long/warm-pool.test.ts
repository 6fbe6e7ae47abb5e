// A guest of its own: `test/long warm-pool`.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { NamespaceMode } from '../../../api/gen/cri.ts';
import { CriError, StatusCode } from '../../../src/core/model/errors.ts';
import { run } from '../../../src/host/processes/run.ts';
import type { Owner } from '../../integration/server-fixture.ts';
import { eventually } from '../../lib/eventually.ts';
import { programFile } from '../../lib/program.ts';
import { GuestPods, HANDLER } from '../proxmox-pods.ts';
import { endAll, infoOf, METRICS, nothingElse, poolOf, warmToml } from '../warm-pods.ts';

const SIZE = 1;

const ends: (() => unknown)[] = [];
let pods: GuestPods;
test.before(async (t) => {
  const owner: Owner = { ...t, teardown: (end) => ends.push(end), passed: false };
  pods = await GuestPods.make(owner, { nodes: ['pve1', 'pve2'] }, '', { toml: warmToml(SIZE), metrics: METRICS });
  ends.push(() => endAll(pods));
});
test.after.always(async () => {
  for (const end of ends.reverse()) await end();
});

async function leavesThePool(t: ExecutionContext, ...ids: string[]): Promise<void> {
  for (const id of ids) await pods.stop(id).then(() => pods.remove(id));
  t.deepEqual(await nothingElse(pods, SIZE), []);
}

test.serial('a pod that a warm guest does not fit has one of its own', async (t) => {
  const before = await poolOf(pods, SIZE);
  const linux = { securityContext: { namespaceOptions: { network: NamespaceMode.NODE } } };
  const pod = await pods.server.pod('node', { linux }, HANDLER);
  t.is((await infoOf(pods, pod))['origin'], undefined);
  t.deepEqual(await poolOf(pods, SIZE), before);
  await leavesThePool(t, pod);
});

test.serial('nothing is changed without quorum', async (t) => {
  const before = await poolOf(pods, SIZE);
  await pods.node.cluster.setDown('pve2', true);
  const refused = { instanceOf: CriError, code: StatusCode.UNAVAILABLE, message: /no quorum/ };
  await t.throwsAsync(pods.run('new'), refused);
  t.deepEqual(await poolOf(pods, SIZE), before);
  await pods.node.cluster.setDown('pve2', false);
  await leavesThePool(t, (await pods.run('new')).id);
});

test.serial('a guest of the pool that is stopped is replaced', async (t) => {
  const [[warm, vmid] = ['', 0]] = await poolOf(pods, SIZE);
  await pods.act('POST', vmid, '/status/stop');
  await eventually('another guest', async () => !(await poolOf(pods, SIZE)).has(warm));
  t.deepEqual(await nothingElse(pods, SIZE), []);
});

test.serial('the end of a claimed guest ends its pod, and the next server adopts the pool', async (t) => {
  await poolOf(pods, SIZE);
  const pod = await pods.run('web');
  t.is((await infoOf(pods, pod.id))['origin'], 'warm pool');
  const pool = await poolOf(pods, SIZE);
  await pods.server.end('SIGKILL');
  await pods.act('POST', pod.vmid, '/status/stop');
  await pods.server.start();
  t.is((await pods.server.exit(pod.container)).exitCode, 137);
  await pods.notReady(pod.id);
  t.deepEqual(await poolOf(pods, SIZE), pool);

  // A guest of an earlier version is replaced.
  await pods.server.end('SIGKILL');
  const [warm = ''] = pool.keys();
  await writeFile(join(pods.server.directory, 'state/proxmox-lxc/.warm', warm, 'fingerprint'), 'earlier');
  await pods.server.start();
  await eventually('another guest', async () => !(await poolOf(pods, SIZE)).has(warm));
  await leavesThePool(t, pod.id);
});

test.serial('many pods share a small pool', async (t) => {
  await poolOf(pods, SIZE);
  const ids = await Promise.all([1, 2, 3, 4].map((index) => pods.server.pod(`many-${String(index)}`, {}, HANDLER)));
  const origins = await Promise.all(ids.map(async (id) => (await infoOf(pods, id))['origin']));
  t.is(origins.filter((origin) => origin === 'warm pool').length, SIZE, 'the others have guests of their own');
  await pods.server.clear();
  await poolOf(pods, SIZE);
  t.deepEqual(await nothingElse(pods, SIZE), []);
});

test.serial('wipe removes the pool', async (t) => {
  await poolOf(pods, SIZE);
  await pods.server.end('SIGKILL');
  const config = join(pods.server.directory, 'config.toml');
  await run(process.execPath, [programFile('main'), 'wipe', '--force', '--config', config], { timeoutMs: 300_000 });
  t.deepEqual(await pods.onNode(), []);
  await pods.server.start();
});
