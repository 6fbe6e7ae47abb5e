import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { ImageServiceService, RuntimeServiceService } from '../../../api/gen/cri.ts';
import { ImageStoreService } from '../../../api/gen/proxmoxlxcri/v1/images.ts';
import { ownValueOf } from '../../../src/integrations/zfs/answers/properties.ts';
import { StatusCode } from '../../../src/core/model/errors.ts';
import { exists } from '../../../src/utils/fs/exists.ts';
import { ServerFixture } from '../../integration/server-fixture.ts';
import { programFile } from '../../lib/program.ts';
import { longTest, run, TANK, zfs } from './pools.ts';
import { newStore } from './store-fixture.ts';

const DATASET = `${TANK}/chosen`;
/** Taken where none is configured. */
const FOUND = `${TANK}/proxmox-lxcri`;
const ON_BOTH = `[rootfs]
store = "overlayfs"
quota_bytes = 1048576
max_quota_bytes = 2097152
compression = "lz4"
recordsize = "16K"
[handlers.lxc.rootfs]
store = "zfs"
dataset = "${DATASET}"
`;
const FOREVER = 'echo mine >/mark; trap "exit 0" TERM; echo ready; sleep 3600 & wait';
const QUOTA = 'proxmox-lxcri.io/rootfs-quota';

longTest('handlers have stores of their own, which can be changed', async (t) => {
  await zfs.createFilesystem(DATASET);
  const server = await ServerFixture.make(t, ON_BOTH);
  const config = join(server.directory, 'config.toml');
  const overlay = (part: string) => readdir(join(server.directory, 'root/overlay', part));
  const datasets = async () => (await zfs.list(DATASET, ['type'])).length;
  const configure = async (rootfs: string) => {
    await writeFile(config, (await readFile(config, 'utf8')).replace(/\[rootfs\][^]*$/, rootfs));
  };
  const restart = async (rootfs: string) => {
    await server.end('SIGKILL');
    await configure(rootfs);
    await server.start();
  };
  const filesystemOf = async (id: string) => {
    const mounts = (await server.exec(id, 'cat', '/proc/mounts')).stdout.toString();
    return / \/ (\S+) /.exec(mounts)?.[1];
  };
  const start = async (pod: string, name: string) => {
    const id = await server.sh(pod, name, FOREVER);
    await server.said(pod === onLxc ? 'on-lxc' : 'on-crun', name, 'ready');
    return id;
  };
  const remove = async (containerId: string) => {
    t.is((await server.exec(containerId, 'cat', '/mark')).stdout.toString(), 'mine\n');
    await server.client.call(RuntimeServiceService.stopContainer, { containerId, timeout: 10n });
    await server.client.call(RuntimeServiceService.removeContainer, { containerId });
  };

  const onLxc = await server.pod('on-lxc', { annotations: { [QUOTA]: '2Mi, small=512Ki' } }, 'lxc');
  const onCrun = await server.pod('on-crun', {}, 'crun');
  const empty = await datasets();
  const refused = (pod: string, annotations: Record<string, string>) =>
    t.throwsAsync<Error & { code: number }>(server.create(pod, 'refused', { annotations }));
  t.like(await refused(onLxc, { [QUOTA]: 'much' }), { code: StatusCode.INVALID_ARGUMENT });
  t.like(await refused(onLxc, { [QUOTA]: '3Mi' }), { code: StatusCode.INVALID_ARGUMENT });
  const reserved = { 'proxmox-lxcri.io/rootfs-reservation': '1Mi' };
  t.like(await refused(onLxc, reserved), { code: StatusCode.INVALID_ARGUMENT });
  t.like(await refused(onCrun, { [QUOTA]: '1Gi' }), { code: StatusCode.FAILED_PRECONDITION });
  t.deepEqual([await datasets(), await overlay('containers')], [empty, []], 'nothing is left');
  t.is((await server.client.call(RuntimeServiceService.listContainers, { filter: undefined })).containers.length, 0);

  const [lxc, crun] = [await start(onLxc, 'lxc'), await start(onCrun, 'crun')];
  t.deepEqual([await filesystemOf(lxc), await filesystemOf(crun)], ['zfs', 'overlay']);
  const fill = await server.exec(lxc, 'sh', '-c', 'dd if=/dev/urandom of=/fill bs=1M count=4 conv=fsync');
  t.regex(fill.stderr.toString(), /quota exceeded/i);
  const rootfs = `${DATASET}/rootfs`;
  t.is(
    await run('zfs', 'get', '-Hpo', 'value', 'quota,compression,recordsize', `${rootfs}/${lxc}`),
    '2097152\nlz4\n16384\n',
  );
  const { imageFilesystems } = await server.client.call(ImageServiceService.imageFsInfo, {});
  const places = imageFilesystems.map(({ fsId }) => fsId?.mountpoint);
  t.is(places.length, 2);
  for (const [index, containerId] of [lxc, crun].entries()) {
    const { stats } = await server.client.call(RuntimeServiceService.containerStats, { containerId });
    t.is(stats?.writableLayer?.fsId?.mountpoint, places[index]);
  }

  // New containers of both go to another dataset; the others stay, and the image is pulled again.
  await zfs.createFilesystem(FOUND);
  await restart('[rootfs]\n');
  t.deepEqual((await server.client.call(ImageServiceService.listImages, { filter: undefined })).images, []);
  await server.client.call(ImageStoreService.import, { path: join(server.directory, 'tiny.tar'), reference: '' });
  for (const pod of [onLxc, onCrun]) await start(pod, 'next');
  const next = await zfs.list(`${FOUND}/rootfs`, ['compression'], { depth: 1 });
  t.deepEqual(
    next.map((entry) => ownValueOf(entry, 'compression')),
    [undefined, undefined, undefined],
  );
  t.deepEqual([await filesystemOf(lxc), await filesystemOf(crun)], ['zfs', 'overlay']);
  await remove(crun);
  t.deepEqual([await overlay('containers'), await overlay('layers')], [[], []]);
  await remove(lxc);
  t.is(await datasets(), 1, 'the store is erased with its last container');
  t.deepEqual(await readdir(join(server.directory, 'root/zfs')), ['tank%2Fproxmox-lxcri']);

  // A wipe erases also the stores that no handler uses any more; one that it cannot reach is named, and it can be repeated.
  await server.end('SIGTERM');
  await configure('[rootfs]\nstore = "overlayfs"\n');
  const away = join(server.directory, 'root/zfs', 'no-such-pool%2Flxcri');
  await mkdir(away);
  const wipe = () => run(process.execPath, programFile('main'), 'wipe', '--force', '--config', config);
  const failed = await t.throwsAsync<Error & { stderr: string }>(wipe());
  t.regex(
    failed?.stderr ?? '',
    /store zfs:no-such-pool\/lxcri: .*pool no-such-pool is not imported; "zpool import no-such-pool"/,
  );
  await rm(away, { recursive: true });
  await wipe();
  t.is((await zfs.list(FOUND, ['type'])).length, 1);
  t.false(await exists(join(server.directory, 'root')));
});

test.serial('compression and record size follow the configuration', async (t) => {
  const { store, dataset, make } = await newStore(t, 'properties', { compression: 'gzip-9', recordsize: '16K' });
  await store.prepare('c1', undefined);
  const properties = async () =>
    (await run('zfs', 'get', '-Hpo', 'value', 'compression,recordsize', `${dataset}/rootfs/c1`)).trim().split('\n');
  t.deepEqual(await properties(), ['gzip-9', '16384']);
  await run('zfs', 'set', 'compression=lz4', dataset);
  const changed = make({ compression: '', recordsize: '1M' });
  await changed.recover();
  t.deepEqual(await properties(), ['lz4', '1048576']);
  await changed.remove('c1');
  t.deepEqual(await changed.erase(), []);
  const message = /store zfs:tank\/properties was erased/;
  await t.throwsAsync(changed.fsUsage(), { code: StatusCode.FAILED_PRECONDITION, message });
  t.is((await zfs.list(dataset, ['type'])).length, 1);
});
