import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { mountPointsBelow } from '../../lib/mounts.ts';
import { destroyPools, run } from './pools.ts';

const POOL = 'guest';

/** A bundle of crun whose root is that directory and whose only process is that command. */
async function bundle(directory: string, root: string, ...args: string[]): Promise<string> {
  await mkdir(directory);
  await run('crun', 'spec', '--bundle', directory);
  const path = join(directory, 'config.json');
  const config = JSON.parse(await readFile(path, 'utf8')) as { root: object; process: object };
  config.root = { path: root, readonly: false };
  config.process = { ...config.process, args, terminal: false };
  await writeFile(path, JSON.stringify(config));
  return directory;
}

test.serial('OpenZFS keeps the root of a container, its snapshots and clones', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'zfs-'));
  t.teardown(() => rm(directory, { recursive: true }));
  const disk = join(directory, 'disk');
  await run('truncate', '--size', '512M', disk);
  await run('modprobe', 'zfs');
  const [tools, modules] = (await run('zfs', 'version')).trim().split('\n');
  t.is(modules?.replace('-kmod', ''), tools, 'the modules are those of the tools');

  await run('zpool', 'create', '-o', 'cachefile=none', '-O', `mountpoint=${join(directory, 'pool')}`, POOL, disk);
  t.teardown(() => run('zpool', 'destroy', '-f', POOL).catch(() => undefined));
  await run('zfs', 'create', '-o', 'acltype=posixacl', '-o', 'xattr=sa', `${POOL}/image`);
  const image = join(directory, 'pool/image');
  for (const name of ['bin', 'proc', 'sys', 'dev']) await mkdir(join(image, name));
  await copyFile('/bin/busybox', join(image, 'bin/busybox'));
  await run('zfs', 'snapshot', `${POOL}/image@1`);
  await run('zfs', 'clone', '-o', 'quota=8M', '-o', 'user:pod=p', `${POOL}/image@1`, `${POOL}/root`);
  t.is(
    await run('zfs', 'get', '-Hpo', 'value', 'origin,user:pod,quota', `${POOL}/root`),
    `${POOL}/image@1\np\n8388608\n`,
  );

  const root = join(directory, 'pool/root');
  const shell = ['/bin/busybox', 'sh', '-c', 'echo here >/mark; echo $$; dd if=/dev/urandom of=/big bs=1M count=16'];
  const container = run(
    'crun',
    '--cgroup-manager=disabled',
    'run',
    '--bundle',
    await bundle(join(directory, 'c'), root, ...shell),
    'c',
  );
  const failure = await t.throwsAsync<Error & { stdout: string; stderr: string }>(container);
  t.is(failure?.stdout, '1\n', 'the first process of its container');
  t.regex(failure?.stderr ?? '', /quota exceeded/i);
  t.is(await readFile(join(root, 'mark'), 'utf8'), 'here\n');
  t.regex(await run('zfs', 'diff', `${POOL}/image@1`, `${POOL}/root`), /^\+\t.*\/mark$/m);
  await t.throwsAsync(readFile(join(image, 'mark')), { code: 'ENOENT' }, 'the image is as before');

  await run('sh', '-c', `zfs snapshot ${POOL}/root@2 && zfs send ${POOL}/root@2 | zfs receive -u ${POOL}/copy`);
  t.is(
    await run('zfs', 'get', '-Hpo', 'value', 'guid', `${POOL}/copy@2`),
    await run('zfs', 'get', '-Hpo', 'value', 'guid', `${POOL}/root@2`),
  );

  await run('zpool', 'export', POOL);
  t.false((await run('zpool', 'list', '-Ho', 'name')).split('\n').includes(POOL));
  t.deepEqual(await mountPointsBelow(directory), []);
  await run('zpool', 'import', '-o', 'cachefile=none', '-d', disk, POOL);
  t.is(await readFile(join(root, 'mark'), 'utf8'), 'here\n');
  await t.throwsAsync(run('zfs', 'destroy', '-r', `${POOL}/image`), { message: /dependent clones/ });
  await run('zfs', 'destroy', '-R', `${POOL}/image`);
  t.is(await run('zfs', 'list', '-Hro', 'name', '-t', 'all', POOL), `${POOL}\n${POOL}/copy\n${POOL}/copy@2\n`);
  await run('zpool', 'destroy', POOL);
  t.deepEqual(await mountPointsBelow(directory), []);
  await destroyPools();
  await run('modprobe', '--remove', 'zfs');
  t.notRegex(await readFile('/proc/modules', 'utf8'), /^(zfs|spl) /m);
});
