import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, open, rm } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { findNative } from '../../../../src/host/native/find.ts';

const lock = async (file: FileHandle) => {
  const child = spawn(findNative(), ['lock', '3'], { stdio: ['ignore', 'ignore', 'inherit', file.fd] });
  return (await once(child, 'exit'))[0] as number;
};

test('a lock lasts until its file is closed', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'lock-'));
  t.teardown(() => rm(directory, { recursive: true }));
  const first = await open(join(directory, 'file'), 'w');
  const second = await open(join(directory, 'file'), 'r');
  t.is(await lock(first), 0);
  t.is(await lock(first), 0);
  t.is(await lock(second), 1);
  await first.close();
  t.is(await lock(second), 0);
  await second.close();
});
