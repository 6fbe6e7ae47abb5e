import test, { type ExecutionContext } from 'ava';
import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { VolumeDirectories } from '../../../../src/host/platform/volume-directories.ts';
import { messageOf } from '../../../../src/utils/errors.ts';
import { CriError } from '../../../../src/core/model/errors.ts';

const ID = 'c'.repeat(64);
const owner = process.getuid?.() ?? 0;

async function setUp(t: ExecutionContext): Promise<{ volumes: VolumeDirectories; rootfs: string; kept: string }> {
  const directory = await mkdtemp('/tmp/volumes-');
  t.teardown(() => execFileSync('rm', ['-rf', '--', directory]));
  const rootfs = join(directory, 'rootfs');
  await mkdir(join(rootfs, 'a/b/c'), { recursive: true });
  await writeFile(join(rootfs, 'a/b/c/file'), 'x');
  await writeFile(join(rootfs, 'a/plain'), 'x');
  const volumes = new VolumeDirectories(join(directory, 'kept'), (error) => t.fail(messageOf(error)));
  return { volumes, rootfs, kept: join(directory, 'kept', ID) };
}

test('nested volumes are copied once', async (t) => {
  const { volumes, rootfs, kept } = await setUp(t);
  const request = { volumes: ['/a/b/c', '/a/b', '/a', '/a/new/deep'], requested: [], owner };
  const mounts = await volumes.make(ID, rootfs, request);
  t.deepEqual(
    mounts.map(({ destination }) => destination),
    ['/a'],
  );
  t.deepEqual(await readdir(kept), ['0']);
  t.is(await readFile(join(kept, '0/b/c/file'), 'utf8'), 'x');
  t.deepEqual(await readdir(join(kept, '0/new')), ['deep']);
});

test('a volume below a requested mount has a directory', async (t) => {
  const { volumes, rootfs, kept } = await setUp(t);
  const request = { volumes: ['/a', '/a/b/c'], requested: ['/a/b'], owner };
  const mounts = await volumes.make(ID, rootfs, request);
  t.deepEqual(
    mounts.map(({ destination }) => destination),
    ['/a', '/a/b/c'],
  );
  t.deepEqual(await readdir(join(kept, '1')), ['file']);
});

test('a nested volume that is a file is refused', async (t) => {
  const { volumes, rootfs } = await setUp(t);
  const request = { volumes: ['/a', '/a/plain/x'], requested: [], owner };
  await t.throwsAsync(volumes.make(ID, rootfs, request), { instanceOf: CriError, message: /not a directory/ });
  const reason = new Error('deadline');
  const ended = { volumes: ['/a'], requested: [], owner, signal: AbortSignal.abort(reason) };
  t.is(await t.throwsAsync(volumes.make('d'.repeat(64), rootfs, ended)), reason);
  await volumes.remove(ID);
  t.deepEqual((await volumes.usage(ID)).inodes, 0n);
});

test('removed volumes disappear at once', async (t) => {
  const { volumes, rootfs } = await setUp(t);
  await volumes.make(ID, rootfs, { volumes: ['/a'], requested: [], owner });
  t.deepEqual(await volumes.list(), [ID]);
  await volumes.remove(ID);
  await volumes.remove(ID);
  t.deepEqual(await volumes.list(), []);
});
