import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { ImageServiceService, RuntimeServiceService } from '../../../api/gen/cri.ts';
import { ImageStoreService } from '../../../api/gen/proxmoxlxcri/v1/images.ts';
import type { ServerFixture } from '../../integration/server-fixture.ts';
import { Faults } from '../../integration/walk-faults.ts';
import { programFile } from '../../lib/program.ts';
import { mountPointsBelow } from '../../lib/mounts.ts';
import { PROPERTY_SEED } from '../../lib/property-seed.ts';
import { run, zfs } from './pools.ts';
import { DATASET as dataset, sharedServer } from './shared-server.ts';
import { importDeclaring, KubeletVolumes, volumesIn } from './volumes.ts';

const FOREVER = 'echo mine >/mark; trap "exit 0" TERM; echo ready; sleep 3600 & wait';

/** Steps of the store. */
const STEPS = /^spawn zfs (?!get)|^mount |^unmount /;

/** Kills the server amid one of the steps that such a call has `passed`, which the seed chooses. */
async function killAmid(
  t: ExecutionContext,
  server: ServerFixture,
  passed: readonly string[],
  call: () => Promise<unknown>,
): Promise<void> {
  const points = passed.filter((point) => STEPS.test(point));
  const point = points[PROPERTY_SEED % points.length] ?? '';
  t.log(point);
  await new Faults(server.directory).arm({ point, how: 'die-amid', errno: 'EIO' });
  await t.throwsAsync(call(), undefined, point);
  await server.end('SIGKILL');
}

test.serial('the server runs pods on ZFS', async (t) => {
  const { server, faults } = await sharedServer(t);
  t.teardown(() => server.destroy(t));
  const config = join(server.directory, 'config.toml');
  const doctor = run(process.execPath, programFile('main'), 'doctor', '--config', config);
  const report = await doctor.catch((error: unknown) => (error as { stdout: string }).stdout);
  t.true(report.includes(`ZFS in ${dataset}`), report);
  const remove = (containerId: string) => server.client.call(RuntimeServiceService.removeContainer, { containerId });
  const rootfs = async () => (await zfs.list(`${dataset}/rootfs`, ['type'], { depth: 1 })).length - 1;
  await importDeclaring(server);
  const ids: string[] = [];
  let podId = '';
  const mapped = [{ hostId: 200_000, containerId: 0, length: 65_536 }];
  const kubelet = await Promise.all([
    KubeletVolumes.make(server, 'uid-lxc', []),
    KubeletVolumes.make(server, 'uid-crun', mapped),
  ]);
  const [ofLxc, ofCrun] = kubelet;
  for (const [handler, own] of [['lxc', ofLxc] as const, ['crun', ofCrun] as const]) {
    podId = await server.pod(`pod-${handler}`, own.pod(`pod-${handler}`), handler);
    const id = await server.sh(podId, 'app', FOREVER, own.container);
    await server.said(`pod-${handler}`, 'app', 'ready');
    const second = handler === 'lxc' ? await server.sh(podId, 'second', FOREVER, await own.subPath()) : undefined;
    await own.check(t, id, second);
    if (second !== undefined) await remove(second);
    t.is((await server.exec(id, 'cat', '/mark')).stdout.toString(), 'mine\n');
    const filled = await server.exec(id, 'sh', '-c', 'dd if=/dev/urandom of=/fill bs=1M count=8 conv=fsync');
    t.regex(filled.stderr.toString(), /quota exceeded/i);
    ids.push(id);
  }
  const cli = (command: string, ...words: string[]) =>
    [process.execPath, programFile('main'), command, '--address', `unix://${server.socket}`, ...words].join(' ');
  const [moved, committed] = ['localhost/moved:1', 'localhost/committed:1'];
  const transfer = `${cli('send', ids[0] ?? '')} | ${cli('receive', '--name', moved)}`;
  t.regex(await run('sh', '-c', transfer), /^sha256:[0-9a-f]{64}\nlocalhost\/moved:1\n$/);
  await run('sh', '-c', cli('commit', ids[1] ?? '', committed));
  const copies = await server.pod('copies');
  for (const [index, image] of [moved, committed].entries()) {
    const name = `copy-${String(index)}`;
    const copy = await server.sh(copies, name, 'cat /mark', { image: { image } });
    await server.said('copies', name, 'mine');
    await remove(copy);
  }
  const pods = await run('zfs', 'list', '-rHo', 'proxmox-lxcri:pod', `${dataset}/rootfs`);
  t.deepEqual(pods.trim().split('\n').sort(), ['-', 'test/pod-crun', 'test/pod-lxc']);
  const { imageFilesystems } = await server.client.call(ImageServiceService.imageFsInfo, {});
  t.deepEqual(await mountPointsBelow(join(server.directory, 'root')), [imageFilesystems[0]?.fsId?.mountpoint]);

  const create = (name: string) => server.create(podId, name, { command: ['true'] });
  await faults.arm();
  const first = await create('first');
  await killAmid(t, server, (await faults.arm()).passed, () => create('second'));
  await zfs.createFilesystem(`${dataset}/rootfs/${'f'.repeat(64)}`, { settings: { 'proxmox-lxcri:kind': 'rootfs' } });
  const [orphan, gone] = [`${dataset}/volumes/${'f'.repeat(64)}.0`, `${dataset}/volumes/gone.cache`];
  await zfs.createFilesystem(orphan, { settings: { 'proxmox-lxcri:kind': 'volume' } });
  const directory = join(server.directory, 'pods/gone/volumes/kubernetes.io~empty-dir/cache');
  const settings = { 'proxmox-lxcri:kind': 'volume', 'proxmox-lxcri:directory': directory };
  await zfs.createFilesystem(gone, { settings });
  await server.start();
  t.is((await volumesIn(dataset)).length, 6, 'those that nobody needs are gone');
  t.is(await rootfs(), 3, 'the orphan and the half-made one are gone, the others are there');
  const second = await create('second');
  for (const id of [first, second]) await remove(id);
  t.is(await rootfs(), 2);
  for (const [index, id] of ids.entries()) {
    t.is((await server.exec(id, 'cat', '/mark')).stdout.toString(), 'mine\n');
    await kubelet[index]?.checkKept(t, id);
    if (index === 0) await kubelet[index]?.checkUsage(t, id);
    await server.client.call(RuntimeServiceService.stopContainer, { containerId: id, timeout: 10n });
    await remove(id);
  }
  t.is(await rootfs(), 0);
  t.deepEqual((await volumesIn(dataset)).sort(), ['uid-crun.cache', 'uid-lxc.cache']);
  // Another sandbox of the pod, and its end.
  const call = (method: 'stopPodSandbox' | 'removePodSandbox') =>
    server.client.call(RuntimeServiceService[method], { podSandboxId: podId });
  await call('removePodSandbox');
  podId = await server.pod('pod-crun', ofCrun.pod('pod-crun', 1), 'crun');
  await ofCrun.checkKept(t, await server.sh(podId, 'app', FOREVER, ofCrun.container));
  await call('stopPodSandbox');
  await ofCrun.remove();
  await call('removePodSandbox');
  t.deepEqual(await volumesIn(dataset), ['uid-lxc.cache']);
  t.is((await mountPointsBelow(join(server.directory, 'state/volumes'))).length, 1);
  const prune = (dryRun: boolean) => server.client.call(ImageStoreService.prune, { dryRun });
  const planned = await prune(true);
  t.deepEqual(planned.leftovers, []);
  t.true(planned.reclaimedBytes > 2n ** 20n);
  t.like(await prune(false), { imageIds: planned.imageIds, reclaimedBytes: planned.reclaimedBytes });
});
