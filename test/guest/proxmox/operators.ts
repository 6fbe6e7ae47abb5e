import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import test, { type ExecutionContext } from 'ava';
import { RuntimeServiceService, UpdatePodSandboxResourcesRequest } from '../../../api/gen/cri.ts';
import { StatusCode } from '../../../src/core/model/errors.ts';
import { lxc } from '../../pve/config/kind.ts';
import { ask, finish } from '../../pve/http/ask.ts';
import { FIRST, IS_LONG, podsOf } from '../proxmox-pods.ts';

const pods = podsOf(test);
const longTest = IS_LONG ? test.serial : () => undefined;

test.serial('a running guest stays one pod on its node', async (t) => {
  const { node, server } = pods();
  const pod = await pods().run('web');
  const path = `/nodes/pve1/lxc/${String(pod.vmid)}`;
  t.is(
    await pods().act('POST', pod.vmid, '/migrate', { target: 'pve2', restart: 1 }),
    "migration aborted: cannot migrate local bind mount point 'mp0'",
  );
  const clone = await ask(node.cluster, 'POST', `${path}/clone`, { body: { newid: 300 } });
  t.regex(clone.message ?? '', /unable to clone mountpoint 'mp0'/);
  await ask(node.cluster, 'POST', '/cluster/ha/resources', { body: { sid: `ct:${String(pod.vmid)}` } });

  const [cgroup] = (await readdir(`/sys/fs/cgroup${server.cgroup}`)).filter((name) => name === pod.id);
  const limit = () => readFile(`/sys/fs/cgroup${server.cgroup}/${String(cgroup)}/memory.max`, 'utf8');
  const changed = await ask(node.cluster, 'PUT', `${path}/config`, { body: { memory: 300, cores: 1 } });
  t.is(changed.status, 200);
  t.is(await limit(), `${String(300 * 1024 ** 2)}\n`);
  t.true(await pods().runs(pod));
  await pods().remove(pod.id);
  t.deepEqual(await pods().nothingLeft(), []);
  t.deepEqual(node.cluster.state.store.ha, {});
});

longTest('a guest under HA is a pod that ends', async (t) => {
  const { cluster } = pods().node;
  const [stopped, moved, bound] = [await pods().run('stopped'), await pods().run('moved'), await pods().run('bound')];
  // A rule for a guest that is no resource of HA has no effect.
  const resource = `ct:${String(bound.vmid)}`;
  cluster.ha.bound.set(resource, ['pve2']);
  t.teardown(() => cluster.ha.bound.clear());
  for (const { vmid } of [stopped, moved])
    await ask(cluster, 'POST', '/cluster/ha/resources', { body: { sid: `ct:${String(vmid)}` } });
  await cluster.ha.round();
  t.deepEqual(await Promise.all([stopped, moved, bound].map((pod) => pods().runs(pod))), [true, true, true]);
  await ask(cluster, 'POST', '/cluster/ha/resources', { body: { sid: resource } });
  await cluster.ha.round();
  await pods().notReady(bound.id);
  t.regex(pods().log('vzmigrate', bound.vmid), /cannot migrate local bind mount point 'mp0'/);
  t.is(cluster.state.guests.find(bound.vmid)?.node, 'pve1');
  await pods().remove(bound.id);
  // The HA manager ends it, starts it when it is asked to, and then tries another node: it stays the pod's end.
  t.is(await pods().act('POST', stopped.vmid, '/status/stop'), 'OK');
  await cluster.ha.round();
  await pods().notReady(stopped.id);
  t.is(await pods().act('POST', stopped.vmid, '/status/start'), 'OK');
  for (let round = 0; round < 4; round++) await cluster.ha.round();
  t.regex(pods().log('vzstart', stopped.vmid), /a Kubernetes pod that has ended/);
  t.regex(pods().log('vzmigrate', stopped.vmid), /cannot migrate local bind mount point 'mp0'/);
  t.is(cluster.ha.stateOf(`ct:${String(stopped.vmid)}`), 'error');
  t.true(await pods().runs(moved));

  cluster.ha.maintenance.add('pve1');
  t.teardown(() => cluster.ha.maintenance.clear());
  await cluster.ha.round();
  await pods().notReady(moved.id);
  t.is((await pods().server.exit(moved.container)).exitCode, 137);
  const places = [stopped, moved].map(({ vmid }) => cluster.state.guests.find(vmid)?.node);
  t.deepEqual(places, ['pve1', 'pve1']);
  t.false(pods().isRunning(moved.vmid));

  // Of a node that it takes for dead, it gives them to another one.
  cluster.ha.maintenance.clear();
  await cluster.ha.fence('pve1');
  await cluster.ha.round();
  t.is(cluster.state.guests.find(moved.vmid)?.node, 'pve2');
  t.regex(pods().log('vzstart', moved.vmid), /a Kubernetes pod that has ended/);
  await Promise.all([stopped, moved].map(({ id }) => pods().remove(id)));
  t.deepEqual(await pods().nothingLeft(), []);
  t.deepEqual(cluster.state.store.ha, {});
});

test.serial('a restored copy is no pod', async (t) => {
  const { node } = pods();
  const pod = await pods().run('web');
  const backup = await backUp(t, pod.vmid);
  const copies = [FIRST + 1, 20_000, 20_001];
  for (const vmid of copies.slice(0, 2)) await restore(vmid, backup);
  // Only root@pam gets raw keys and the hookscript back.
  await restore(20_001, { ...backup, text: backup.text.replace(/^(?:lxc\..*|hookscript:.*)\n/gm, '') });
  for (const vmid of copies.slice(0, 2))
    t.regex(await pods().act('POST', vmid, '/status/start'), /hookscript error/, String(vmid));
  t.regex(pods().log('vzstart', 20_000), /a Kubernetes pod that has ended, or a copy of one/);
  // Where the hookscript was taken away, the hook in the included file refuses.
  await ask(node.cluster, 'PUT', '/nodes/pve1/lxc/20000/config', { body: { delete: 'hookscript' } });
  t.regex(await pods().act('POST', 20_000, '/status/start'), /startup for container '20000' failed/);
  t.regex(await pods().act('POST', 20_001, '/status/start'), /failed|not running/);
  t.true(await pods().runs(pod), 'the pod goes on');

  t.is((await pods().run('next')).vmid, FIRST + 2, 'its VMID is not used');
  await pods().server.clear();
  t.deepEqual(pods().vmids(), copies);
  t.deepEqual(await pods().map(), {});
  for (const vmid of copies) t.is(await pods().act('DELETE', vmid), 'OK');
  t.deepEqual(await pods().nothingLeft(), []);
});

longTest('a guest in place of that of a pod', async (t) => {
  const { node } = pods();
  const [own, foreign] = [await pods().run('own'), await pods().run('foreign')];
  for (const { vmid } of [own, foreign]) await pods().act('POST', vmid, '/status/stop');
  const backup = await backUp(t, own.vmid);
  for (const { vmid } of [own, foreign]) await pods().act('DELETE', vmid);
  // The pod's own backup is the pod's; what has no mark is nobody's.
  await restore(own.vmid, backup);
  const [template = ''] = await readdir('/var/lib/vz/template/cache');
  const made = {
    vmid: foreign.vmid,
    ostemplate: `local:vztmpl/${template}`,
    rootfs: 'local:0',
    ostype: 'unmanaged',
    hostname: 'mine',
  };
  t.is(await finish(node.cluster, 'POST', '/nodes/pve1/lxc', { body: made }), 'OK');
  t.regex(await pods().act('POST', own.vmid, '/status/start'), /hookscript error/);
  await Promise.all([own, foreign].map(({ id }) => pods().remove(id)));
  t.deepEqual(pods().vmids(), [foreign.vmid]);
  t.deepEqual(await pods().map(), {});
  t.is(await pods().act('DELETE', foreign.vmid), 'OK');
});

test.serial('a locked or protected guest waits for its removal', async (t) => {
  const { node, server } = pods();
  const pod = await pods().run('web');
  const config = `/nodes/pve1/lxc/${String(pod.vmid)}/config`;
  const set = (body: Record<string, unknown>) => ask(node.cluster, 'PUT', config, { body });
  await set({ protection: 1 });
  await set({ lock: 'backup' });
  // Its limits: nothing is changed, and nothing is reported as changed.
  const kubelet = `/sys/fs/cgroup${server.cgroup}/memory.max`;
  const limit = () => readFile(`/sys/fs/cgroup${server.cgroup}/${pod.id}/memory.max`, 'utf8');
  const resize = async (memory: bigint) => {
    await writeFile(kubelet, String(memory));
    const request = UpdatePodSandboxResourcesRequest.create({
      podSandboxId: pod.id,
      resources: { cpuShares: 512n, memoryLimitInBytes: memory },
    });
    await server.client.call(RuntimeServiceService.updatePodSandboxResources, request);
  };
  t.teardown(() => writeFile(kubelet, 'max'));
  const before = await limit();
  t.like(await t.throwsAsync(resize(200n * 1024n ** 2n)), { code: StatusCode.FAILED_PRECONDITION });
  t.is(await limit(), before);
  pods().unlock(pod.vmid);
  await resize(200n * 1024n ** 2n);
  t.is(await limit(), `${String(218 * 1024 ** 2)}\n`);
  await set({ lock: 'backup' });
  await t.notThrowsAsync(resize(200n * 1024n ** 2n), 'the memory is as before');
  const refusal = () => t.throwsAsync(pods().remove(pod.id));
  await pods().stop(pod.id);
  t.is((await server.status(pod.container)).exitCode, 137);
  await pods().notReady(pod.id);
  t.like(await refusal(), { code: StatusCode.FAILED_PRECONDITION });
  pods().unlock(pod.vmid);
  t.regex((await refusal())?.message ?? '', /protection/);
  await set({ protection: 0 });
  await pods().remove(pod.id);
  t.deepEqual(await pods().nothingLeft(), []);
});

/** What a backup has of a guest: its root filesystem and its configuration, but no mount points of the node. */
async function backUp(t: ExecutionContext, vmid: number): Promise<{ root: string; text: string }> {
  const { guests } = pods().node.cluster.state;
  const directory = await mkdtemp('/tmp/backup-');
  t.teardown(() => rm(directory, { recursive: true }));
  await cp(subvol(vmid), `${directory}/root`, { recursive: true, verbatimSymlinks: true });
  return { root: `${directory}/root`, text: guests.read(guests.find(vmid)!)!.replace(/^mp0:.*\n/m, '') };
}

/** Makes a guest of a backup, as its restore does. */
async function restore(vmid: number, { root, text }: { root: string; text: string }): Promise<void> {
  await cp(root, subvol(vmid), { recursive: true, verbatimSymlinks: true });
  const volume = `rootfs: local:${String(vmid)}/subvol-${String(vmid)}-disk-0.subvol,size=0T`;
  const ref = { node: 'pve1', kind: lxc, vmid };
  pods().node.cluster.state.guests.create(ref, text.replace(/^rootfs:.*$/m, volume));
}

function subvol(vmid: number): string {
  return `/var/lib/vz/images/${String(vmid)}/subvol-${String(vmid)}-disk-0.subvol`;
}
