import { randomUUID } from 'node:crypto';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { ContainerState } from '../../../api/gen/cri.ts';
import { CriError, StatusCode } from '../../../src/core/model/errors.ts';
import { run } from '../../../src/host/processes/run.ts';
import { unmountBelow } from '../../lib/mounts.ts';
import { programFile } from '../../lib/program.ts';
import { ask, finish } from '../../pve/http/ask.ts';
import { eventually } from '../../lib/eventually.ts';
import { IS_LONG, podsOf } from '../proxmox-pods.ts';

const pods = podsOf(test);
const longTest = IS_LONG ? test.serial : () => undefined;
/** How many pods the node has when it ends all guests in `test/long proxmox-stopall`. */
const STOPALL_PODS = Number(process.env['STOPALL_PODS'] ?? 0);

test.serial('without quorum running pods go on', async (t) => {
  const { node, server } = pods();
  const pod = await pods().run('web');
  await node.cluster.setDown('pve2', true);
  const refused = { instanceOf: CriError, code: StatusCode.UNAVAILABLE, message: /no quorum/ };
  await t.throwsAsync(pods().run('new'), refused);
  t.is((await server.exec(pod.container, 'echo', 'x')).stdout.toString(), 'x\n');
  const again = await server.sh(pod.id, 'again', 'exit 5');
  t.is((await server.exit(again)).exitCode, 5, 'a new container in the pod');
  t.truthy(await server.pod('other', {}, 'crun'), 'another handler');
  await pods().stop(pod.id);
  await pods().notReady(pod.id);
  await t.throwsAsync(pods().remove(pod.id), refused);
  await node.cluster.setDown('pve2', false);
  await pods().remove(pod.id);
  t.is((await server.status((await pods().run('new')).container)).state, ContainerState.CONTAINER_RUNNING);
  await server.clear();
  t.deepEqual(await pods().nothingLeft(), []);
});

if (STOPALL_PODS > 0) {
  test.serial('all guests of a node are ended', async (t) => {
    const all = [];
    for (let index = 0; index < STOPALL_PODS; index++) all.push(await pods().run(`web-${String(index)}`));
    const begun = performance.now();
    t.is(await finish(pods().node.cluster, 'POST', '/nodes/pve1/stopall', { body: {} }), 'OK');
    t.log(`${String(STOPALL_PODS)} guests ended in ${((performance.now() - begun) / 1000).toFixed(1)} s`);
    for (const { id, container, vmid } of all) {
      t.false(pods().isRunning(vmid));
      t.is((await pods().server.exit(container)).exitCode, 137);
      await pods().notReady(id);
    }
    await Promise.all(all.map(({ id }) => pods().remove(id)));
    t.deepEqual(await pods().nothingLeft(), []);
  });
}

test.serial('a node that was rebooted', async (t) => {
  const { node, server } = pods();
  const [pod, locked] = [await pods().run('web'), await pods().run('locked')];
  await server.end('SIGKILL');
  await ask(node.cluster, 'PUT', `/nodes/pve1/lxc/${String(pod.vmid)}/config`, { body: { onboot: 1 } });
  for (const { vmid } of [pod, locked]) await pods().act('POST', vmid, '/status/stop');
  await ask(node.cluster, 'PUT', `/nodes/pve1/lxc/${String(locked.vmid)}/config`, { body: { lock: 'backup' } });
  // What a reboot takes: /run, network namespaces, the boot's id.
  await unmountBelow(join(server.directory, 'state'));
  await rm(join(server.directory, 'state'), { recursive: true });
  const bootId = '/proc/sys/kernel/random/boot_id';
  const file = join(server.directory, 'boot_id');
  await writeFile(file, `${randomUUID()}\n`);
  await run('mount', ['--bind', file, bootId]);
  t.teardown(() => run('umount', [bootId]));

  await finish(node.cluster, 'POST', '/nodes/pve1/startall', { body: {} });
  t.regex(pods().log('vzstart', pod.vmid), /a Kubernetes pod that has ended/);
  t.false(pods().isRunning(pod.vmid));
  await server.start();
  t.deepEqual(pods().vmids(), [locked.vmid], 'before the server is ready');
  for (const { id, container } of [pod, locked]) {
    await pods().notReady(id);
    t.is((await server.status(container)).state, ContainerState.CONTAINER_EXITED);
  }
  const next = await pods().run('web');
  t.is(next.vmid, pod.vmid);
  pods().unlock(locked.vmid);
  await eventually('the removal of the guest', () => pods().vmids().length === 1);
  await Promise.all([pod, locked].map(({ id }) => pods().remove(id)));
  t.true(await pods().runs(next));
  await pods().remove(next.id);
  t.deepEqual(await pods().nothingLeft(), []);
});

longTest('wipe removes guests', async (t) => {
  const { node, server } = pods();
  await pods().run('running');
  const stopped = await pods().run('stopped');
  await pods().stop(stopped.id);
  const foreign = { kind: node.cluster.state.guests.find(stopped.vmid)!.kind, node: 'pve1', vmid: 10_050 };
  node.cluster.state.guests.create(foreign, 'arch: amd64\nhostname: mine\nmemory: 512\nostype: unmanaged\n');
  const orphan = await pods().run('orphan');
  await ask(node.cluster, 'PUT', `/nodes/pve1/lxc/${String(orphan.vmid)}/config`, { body: { lock: 'backup' } });
  await server.end('SIGKILL');
  // No record names the guest, and it is locked.
  for (const root of ['root', 'state'])
    await rm(join(server.directory, root, 'sandboxes', `${orphan.id}.json`), { force: true });
  const config = join(server.directory, 'config.toml');
  const wipe = () =>
    run(process.execPath, [programFile('main'), 'wipe', '--force', '--config', config], { timeoutMs: 300_000 });
  await t.throwsAsync(wipe(), { message: /CT is locked/ });
  t.is((await pods().map())[String(orphan.vmid)]?.owner, orphan.id);
  pods().unlock(orphan.vmid);
  await wipe();
  t.deepEqual(pods().vmids(), [foreign.vmid]);
  node.cluster.state.guests.remove(foreign);
  await server.start();
  t.deepEqual(await pods().nothingLeft(), []);
});
