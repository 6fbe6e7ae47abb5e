import test from 'ava';
import type { ExecutionContext } from 'ava';
import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { StatusCode } from '../../../src/core/model/errors.ts';
import { checkRoot, markRoot } from '../../../src/host/root-marker.ts';

const refused = (message: RegExp) => ({ code: StatusCode.FAILED_PRECONDITION, message }) as object;

async function directory(t: ExecutionContext, ...parts: string[]): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'root-'));
  t.teardown(() => rm(path, { recursive: true }));
  for (const part of parts) {
    if (part.endsWith('/')) await mkdir(join(path, part), { recursive: true });
    else await writeFile(join(path, part), '');
  }
  return path;
}

test('an empty or missing directory becomes the root', async (t) => {
  const path = await directory(t, 'lost+found/', 'lock');
  t.is(await checkRoot(join(path, 'none')), 'empty');
  t.is(await checkRoot(path), 'empty');
  await markRoot(path);
  t.is(await checkRoot(path), 'ours');
  await writeFile(join(path, 'notes'), '');
  t.is(await checkRoot(path), 'ours');
});

test('a directory with other content is refused unchanged', async (t) => {
  const path = await directory(t, 'images/100/', 'containers/', 'volumes/', 'sandboxes/', 'overlay/layers/');
  for (const look of [checkRoot(path), markRoot(path)]) {
    await t.throwsAsync(
      look,
      refused(/is not empty and does not belong to this server: it has containers, images, overlay/),
    );
  }
  t.deepEqual(await readdir(path), ['containers', 'images', 'overlay', 'sandboxes', 'volumes']);
});

test('a root without a marker is adopted', async (t) => {
  const path = await directory(t, 'sandboxes/', 'containers/', 'images/', 'overlay/layers/', 'volumes/');
  await writeFile(join(path, 'sandboxes', `${'a'.repeat(64)}.json`), '');
  await writeFile(join(path, 'images', `sha256-${'b'.repeat(64)}.json.corrupt`), '');
  t.is(await checkRoot(path), 'older');
  await markRoot(path);
  t.is(await checkRoot(path), 'ours');
});

test('/ and kernel filesystems are refused under any name', async (t) => {
  const path = await directory(t);
  await symlink('/', join(path, 'link'));
  for (const root of ['/', '//', '/tmp/..', join(path, 'link'), '/proc/x', '/sys/fs/x', '/dev/shm/x']) {
    await t.throwsAsync(checkRoot(root), refused(/is not allowed as the root directory/), root);
  }
});

test('a newer root and a damaged marker are refused', async (t) => {
  const path = await directory(t);
  await writeFile(join(path, '.proxmox-lxcri'), '{"format":3}');
  await t.throwsAsync(checkRoot(path), refused(/format 3 of a later version.*install the later version/));
  await writeFile(join(path, '.proxmox-lxcri'), '');
  await t.throwsAsync(checkRoot(path), refused(/\.proxmox-lxcri cannot be read/));
});
