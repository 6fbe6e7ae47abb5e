import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { HostFiles } from '../../../../src/host/platform/host-files.ts';
import { run } from '../../../../src/host/processes/run.ts';

test('devices below are listed while other directories there are removed', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'devices-'));
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  const names = Array.from({ length: 300 }, (_, index) => `directory-${String(index)}`);
  await Promise.all(names.map((name) => mkdir(join(directory, name, 'inner'), { recursive: true })));
  await run('mknod', [join(directory, 'zero'), 'c', '1', '5']);
  const listing = new HostFiles().devicesBelow(directory, []);
  await Promise.all(names.map((name) => rm(join(directory, name), { recursive: true })));
  t.like(await listing, [{ path: 'zero', facts: { kind: 'char', major: 1, minor: 5 } }]);
});

test('a directory of devices that does not exist is an error', async (t) => {
  await t.throwsAsync(new HostFiles().devicesBelow('/nonexistent', []), { code: 'ENOENT' });
});

test('entries that are left out are not read', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'devices-'));
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  await mkdir(join(directory, 'shm/shm'), { recursive: true });
  await mkdir(join(directory, 'dri/shm'), { recursive: true });
  for (const path of ['shm/shm/null', 'dri/shm/null']) await run('mknod', [join(directory, path), 'c', '1', '3']);
  const devices = await new HostFiles().devicesBelow(directory, ['shm']);
  t.deepEqual(
    devices.map(({ path }) => path),
    ['dri/shm/null'],
  );
});
