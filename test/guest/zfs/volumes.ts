import { chmod, chown, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { MountPropagation, NamespaceMode, RuntimeServiceService } from '../../../api/gen/cri.ts';
import { mountPointsBelow } from '../../lib/mounts.ts';
import { importImage } from '../../integration/image-fixture.ts';
import { ServerFixture } from '../../integration/server-fixture.ts';
import { run, TANK, zfs } from './pools.ts';

const IMAGE = 'localhost/declares:1';
const FOREVER = 'trap "exit 0" TERM; sleep 3600 & wait';
const ANNOTATIONS = { 'proxmox-lxcri.io/volume-quota': '2Mi, cache=3Mi, free=0' };
/** Of a pod's user namespace. */
const IDS = [{ hostId: 200_000, containerId: 0, length: 65_536 }];

/** The volumes of a pod, as the kubelet makes them: one with fsGroup 2000, one in memory. */
async function kubeletVolumes(server: ServerFixture, uid: string) {
  const pod = join(server.directory, 'pods', uid);
  const of = (name: string) => join(pod, 'volumes/kubernetes.io~empty-dir', name);
  for (const name of ['cache', 'memory', 'free']) await mkdir(of(name), { recursive: true });
  await writeFile(join(of('cache'), 'before'), 'node');
  await chown(of('cache'), 0, 2000);
  await chmod(of('cache'), 0o2777);
  await run('mount', '-t', 'tmpfs', 'tmpfs', of('memory'));
  const sub = join(pod, 'volume-subpaths/cache/second/0');
  return {
    of,
    sub,
    /** As for a container with the subPath logs/app. */
    bindSubPath: async () => {
      await mkdir(join(of('cache'), 'logs/app'), { recursive: true, mode: 0o751 });
      await mkdir(sub, { recursive: true });
      await run('mount', '--bind', join(of('cache'), 'logs/app'), sub);
    },
    remove: async () => {
      for (const path of await mountPointsBelow(pod)) await run('umount', path);
      await rm(pod, { recursive: true });
    },
  };
}

test.serial('volumes are datasets with a quota', async (t) => {
  const dataset = `${TANK}/volumes`;
  await zfs.createFilesystem(dataset);
  const server = await ServerFixture.make(t, `[rootfs]\nstore = "zfs"\ndataset = "${dataset}"\n`);
  const { client } = server;
  const content = { '/data/there': { mode: 0o640, owner: 70, text: 'image' } };
  await importImage(server, IMAGE, content, { config: { Volumes: { '/data': {}, '/more': {} } } });
  const volumes = async () => {
    const entries = await zfs.list(`${dataset}/volumes`, ['type'], { depth: 1 });
    return entries.slice(1).map(({ name }) => name.split('/').at(-1));
  };
  const sh = async (id: string, script: string) => {
    const { stdout, stderr } = await server.exec(id, 'sh', '-c', script);
    return stdout.toString() + stderr.toString();
  };
  const fill = 'dd if=/dev/urandom bs=1M count=6 conv=fsync of=';
  const podOn = async (handler: string, ids: typeof IDS, attempt = 0) => {
    const uid = `uid-${handler}`;
    const usernsOptions = { mode: NamespaceMode.POD, uids: ids, gids: ids };
    const linux = ids.length > 0 && { linux: { securityContext: { namespaceOptions: { usernsOptions } } } };
    const metadata = { name: handler, namespace: 'test', uid, attempt };
    const pod = await server.pod(handler, { metadata, annotations: ANNOTATIONS, ...linux }, handler);
    const mount = (hostPath: string, containerPath: string) => {
      const mappings = { uidMappings: ids, gidMappings: ids };
      return { hostPath, containerPath, propagation: MountPropagation.PROPAGATION_PRIVATE, ...mappings };
    };
    return { uid, pod, mount };
  };

  // The pod of lxc has two containers, one with a subPath.
  const lxc = await podOn('lxc', []);
  const shared = await kubeletVolumes(server, lxc.uid);
  const all = ['cache', 'memory', 'free'].map((name) => lxc.mount(shared.of(name), `/${name}`));
  const first = await server.sh(lxc.pod, 'first', FOREVER, { image: { image: IMAGE }, mounts: all });
  await shared.bindSubPath();
  const second = await server.sh(lxc.pod, 'second', FOREVER, { mounts: [lxc.mount(shared.sub, '/logs')] });
  t.is(await sh(second, 'stat -c "%a %g" /logs; echo shared >/logs/x'), '2751 2000\n');
  t.is(
    await sh(first, 'stat -c "%a %u %g" /cache /data/there /more; cat /cache/before /data/there /cache/logs/app/x'),
    '2777 0 2000\n640 70 70\n755 0 0\nnodeimageshared\n',
  );
  t.is(await sh(first, 'echo 1 >/memory/x; echo 1 >/free/x'), '');
  for (const path of ['/cache', '/data']) t.regex(await sh(first, `${fill}${path}/fill`), /quota exceeded/i, path);
  t.deepEqual(await Promise.all(['memory', 'free'].map((name) => readdir(shared.of(name)))), [['x'], ['x']]);
  t.deepEqual((await readdir(shared.of('cache'))).sort(), ['before', 'logs'], "the kubelet's directory is as it was");
  t.deepEqual((await volumes()).sort(), [`${first}.0`, `${first}.1`, `${lxc.uid}.cache`].sort());
  t.is(
    await run('zfs', 'list', '-Hpo', 'quota,proxmox-lxcri:kind,proxmox-lxcri:pod', `${dataset}/volumes/uid-lxc.cache`),
    `${String(3 * 2 ** 20)}\tvolume\ttest/lxc\n`,
  );
  await run('zpool', 'sync', TANK);
  const { stats } = await client.call(RuntimeServiceService.containerStats, { containerId: first });
  const { usedBytes, inodesUsed } = stats?.writableLayer ?? {};
  t.true((usedBytes?.value ?? 0n) > 2n ** 20n, String(usedBytes?.value));
  t.true((inodesUsed?.value ?? 0n) >= 2n && (inodesUsed?.value ?? 0n) < 30n, String(inodesUsed?.value));

  // That of crun has a user namespace, and another sandbox after the server was killed.
  const crun = await podOn('crun', IDS);
  const kept = await kubeletVolumes(server, crun.uid);
  const config = { image: { image: IMAGE }, mounts: [crun.mount(kept.of('cache'), '/cache')] };
  const mapped = await server.sh(crun.pod, 'first', FOREVER, config);
  t.is(
    await sh(mapped, 'stat -c "%a %u %g" /cache /data/there /more; echo kept >/cache/x'),
    '2777 0 2000\n640 70 70\n755 0 0\n',
  );
  t.regex(await sh(mapped, `${fill}/cache/fill`), /quota exceeded/i);
  await server.end('SIGKILL');
  const settings = { 'proxmox-lxcri:kind': 'volume' };
  await zfs.createFilesystem(`${dataset}/volumes/${'f'.repeat(64)}.0`, { settings });
  const gone = { ...settings, 'proxmox-lxcri:directory': kept.of('cache').replace(crun.uid, 'gone') };
  await zfs.createFilesystem(`${dataset}/volumes/gone.cache`, { settings: gone });
  await server.start();
  t.is((await volumes()).length, 6, 'both that nobody needs are gone');
  t.is(await sh(mapped, 'cat /cache/x'), 'kept\n');
  await client.call(RuntimeServiceService.removePodSandbox, { podSandboxId: crun.pod });
  const again = await podOn('crun', IDS, 1);
  t.is(await sh(await server.sh(again.pod, 'first', FOREVER, config), 'cat /cache/x'), 'kept\n');
  // As the kubelet ends pods: their volumes first.
  for (const [pod, of] of [[lxc.pod, shared] as const, [again.pod, kept] as const]) {
    await client.call(RuntimeServiceService.stopPodSandbox, { podSandboxId: pod });
    await of.remove();
    await client.call(RuntimeServiceService.removePodSandbox, { podSandboxId: pod });
  }
  t.deepEqual(await volumes(), []);
  t.deepEqual(await mountPointsBelow(join(server.directory, 'state/volumes')), []);
});
