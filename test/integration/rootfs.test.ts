import anyTest, { type ExecutionContext } from 'ava';
import { lstat, mkdir, readdir, readFile, stat, symlink, truncate, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { RemoveContainerRequest, RuntimeServiceService } from '../../api/gen/cri.ts';
import { CriError, StatusCode } from '../../src/core/model/errors.ts';
import type { Rootfs } from '../../src/core/model/rootfs.ts';
import { HostRootfsMounts } from '../../src/host/platform/rootfs-mounts.ts';
import { isMounted, mountPointsBelow } from '../lib/mounts.ts';
import { messageOf } from '../../src/utils/errors.ts';
import { run } from '../../src/host/processes/run.ts';
import { applyAll, isSandboxed, layers, mountCopy, newStore, temporary } from './images-fixture.ts';
import { ServerFixture } from './server-fixture.ts';

const test = isSandboxed ? anyTest.serial : anyTest.serial.skip;

const ids = { hostId: 200_000, size: 65_536 };

/** Why loop devices are unavailable; "" where they are available. */
const noLoop = isSandboxed ? await run('losetup', ['--find']).then(() => '', messageOf) : 'not in test/sandbox';
const withLoop = (title: string, body: (t: ExecutionContext) => Promise<void>) => {
  if (noLoop === '') test(title, body);
  else anyTest.serial.skip(`${title} (${noLoop})`, body);
};

/** A loop device with an empty ext4, which is removed after the test. */
async function blockDevice(t: ExecutionContext, directory: string): Promise<string> {
  const image = join(directory, 'image');
  await writeFile(image, '');
  await truncate(image, 16 * 2 ** 20);
  await run('mkfs.ext4', ['-q', '-F', image]);
  const device = (await run('losetup', ['--find', '--show', image])).stdout.trim();
  t.teardown(() => run('losetup', ['--detach', device]));
  return device;
}

withLoop('A block device is mounted with type and options', async (t) => {
  const directory = await temporary(t);
  const device = await blockDevice(t, directory);
  const mounts = new HostRootfsMounts(join(directory, 'rootfs'));
  const rootfs: Rootfs = { blockDevice: device, fsType: 'ext4' };
  const path = await mounts.mount('device', rootfs);
  await writeFile(join(path, 'written'), 'x');
  t.is(await mounts.mount('device', rootfs), path);
  t.deepEqual(await mountPointsBelow(directory), [path]);
  await mounts.unmount('device');
  t.deepEqual([await mountPointsBelow(directory), await mounts.list()], [[], []]);

  const view = await mounts.mount('view', { ...rootfs, options: ['ro', 'noload'] });
  t.is(await readFile(join(view, 'written'), 'utf8'), 'x');
  await t.throwsAsync(writeFile(join(view, 'more'), ''), { code: 'EROFS' });
  await mounts.unmount('view');

  const error = await t.throwsAsync(mounts.mount('bad', { blockDevice: device, fsType: 'xfs' }));
  t.regex(error?.message ?? '', /mount.*bad/);
  await mounts.unmount('bad');
  t.deepEqual(await mounts.list(), []);
});

withLoop('A block device shows the ids of a user namespace', async (t) => {
  const directory = await temporary(t);
  const device = await blockDevice(t, directory);
  const mounts = new HostRootfsMounts(join(directory, 'rootfs'));
  const rootfs: Rootfs = { blockDevice: device, fsType: 'ext4', ids };
  const path = await mounts.mount('mapped', rootfs);
  t.like(await stat(path), { uid: ids.hostId, gid: ids.hostId });
  t.is(await mounts.mount('mapped', rootfs), path);
  t.deepEqual(await mountPointsBelow(join(directory, 'rootfs/mapped')), [
    join(directory, 'rootfs/mapped/device'),
    path,
  ]);
  t.like(await stat(join(directory, 'rootfs/mapped')), { uid: 0, gid: ids.hostId });
  t.is((await stat(join(directory, 'rootfs/mapped'))).mode & 0o777, 0o710);
  await mounts.unmount('mapped');
  t.deepEqual([await mountPointsBelow(directory), await mounts.list()], [[], []]);
});

test('Mounts of a root filesystem never follow links outside', async (t) => {
  const directory = await temporary(t);
  const store = await newStore(join(directory, 'overlay'));
  const [chainId] = await applyAll(
    store,
    layers([
      { name: 'outside/data/', type: 'directory' },
      { name: 'data', type: 'symlink', linkName: join('/outside/data') },
    ]),
  );
  await mkdir(join(directory, 'outside/data'), { recursive: true });
  const value = await store.prepare('a', chainId);
  if (!('mounts' in value)) return t.fail();
  const mounts = new HostRootfsMounts(join(directory, 'rootfs'));
  const tmpfs = { type: 'tmpfs', source: 'data', options: ['mode=0750', 'nosuid'], target: 'data' };
  const path = await mounts.mount('a', { mounts: [...value.mounts, tmpfs] });
  t.deepEqual(await mountPointsBelow(directory), [path, join(path, 'outside/data')]);
  t.is((await lstat(join(path, 'outside/data'))).mode & 0o777, 0o750);
  await mounts.mount('a', { mounts: [...value.mounts, tmpfs] });
  t.is((await mountPointsBelow(directory)).length, 2);
  await mounts.unmount('a');
  t.deepEqual([await mountPointsBelow(directory), await mounts.list()], [[], []]);
});

test('Unmounting deletes only its own files', async (t) => {
  const directory = await temporary(t);
  const mounts = new HostRootfsMounts(join(directory, 'rootfs'));
  await mkdir(join(directory, 'rootfs/a/root'), { recursive: true });
  await writeFile(join(directory, 'rootfs/a/notes'), 'mine');
  await t.throwsAsync(mounts.unmount('a'), { code: 'ENOTEMPTY' });
  t.is(await readFile(join(directory, 'rootfs/a/notes'), 'utf8'), 'mine');
  await symlink('/', join(directory, 'rootfs/b'));
  await mounts.unmount('..');
  await t.throwsAsync(mounts.mount('../c', { mounts: [] }), { instanceOf: CriError });
});

test('An aborted call neither prepares nor mounts', async (t) => {
  const directory = await temporary(t);
  const store = await newStore(directory);
  const signal = AbortSignal.abort(new Error('the caller has gone'));
  await t.throwsAsync(mountCopy(store, 'a', undefined, { signal }), { message: 'the caller has gone' });
  t.deepEqual(await store.list(), []);
  const mounts = new HostRootfsMounts(join(directory, 'mounts'));
  await t.throwsAsync(mounts.mount('b', await store.prepare('b', undefined), signal), { message: /caller has gone/ });
  t.deepEqual([await mountPointsBelow(directory), await mounts.list()], [[], []]);
});

test('A container is removed only from its recorded store', async (t) => {
  const server = await ServerFixture.make(t);
  const pod = await server.pod('web');
  const id = await server.sh(pod, 'app', 'sleep 1000');
  const record = join(server.directory, 'root/containers', `${id}.json`);
  const upper = join(server.directory, 'root/overlay/containers', id, 'upper');
  const mount = join(server.directory, 'state/rootfs', id, 'root');
  const edit = async (change: (text: string) => string, meanwhile = () => Promise.resolve()) => {
    await server.end('SIGKILL');
    await meanwhile();
    const copy = join(server.directory, 'state/records/containers', `${id}.json`);
    const text = change(await readFile(record, 'utf8'));
    for (const path of [record, copy]) await writeFile(path, text);
    await server.start();
  };
  t.regex(await readFile(record, 'utf8'), /"rootfsStore": "overlayfs"/);
  await edit((text) => text.replace('"rootfsStore": "overlayfs"', '"rootfsStore": "zfs"'));
  t.is((await server.exec(id, 'echo', 'x')).stdout.toString(), 'x\n');
  const remove = () =>
    server.client.call(RuntimeServiceService.removeContainer, RemoveContainerRequest.create({ containerId: id }));
  const refused = await t.throwsAsync<Error & { code: number }>(remove());
  t.is(refused?.code, StatusCode.FAILED_PRECONDITION);
  t.regex(refused?.message ?? '', /in the store "zfs"/);
  t.is((await server.exec(id, 'echo', 'y')).stdout.toString(), 'y\n', 'it still runs');
  t.true((await stat(upper)).isDirectory());

  // An earlier version named no store in the record, and mounted in the store's own directory.
  const merged = join(dirname(upper), 'merged');
  await edit(
    (text) => text.replace(/ *"rootfsStore": "zfs",\n/, ''),
    async () => {
      await run('umount', ['--lazy', '--', mount]);
      await mkdir(merged);
      await run('mount', ['-t', 'tmpfs', 'merged', merged]);
    },
  );
  t.false(await isMounted(mount), 'not mounted twice');
  t.is((await server.exec(id, 'echo', 'z')).stdout.toString(), 'z\n');
  await remove();
  t.false(await isMounted(merged));
  await t.throwsAsync(stat(upper), { code: 'ENOENT' });
  t.false((await readdir(join(server.directory, 'state/rootfs'))).includes(id));
});

test('An unmounted root filesystem in use is remounted', async (t) => {
  const server = await ServerFixture.make(t);
  const pod = await server.pod('web');
  const id = await server.sh(pod, 'app', 'echo kept > /kept; sleep 1000');
  const mount = join(server.directory, 'state/rootfs', id, 'root');
  const orphan = join(server.directory, 'state/rootfs', 'f'.repeat(64));
  await server.end('SIGKILL');
  await run('umount', ['--lazy', '--', mount]);
  await mkdir(join(orphan, 'root'), { recursive: true });
  await server.start();
  t.is(await readFile(join(mount, 'kept'), 'utf8'), 'kept\n');
  await t.throwsAsync(stat(orphan), { code: 'ENOENT' });
});
