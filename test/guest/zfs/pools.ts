import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import test from 'ava';
import { zfsClient } from '../../../src/integrations/zfs/client.ts';

export const { zfs, zpool } = zfsClient();

/** The pool of most tests; those that come to harm have their own. */
export const TANK = 'tank';

/** Where the pools' files are, and the mount points of their datasets. */
export const directory = { path: '' };

/** Runs a program in the C locale and resolves with its standard output; rejects, with `stderr`, when it fails. */
export async function run(program: string, ...args: string[]): Promise<string> {
  return (await promisify(execFile)(program, args, { env: { ...process.env, LC_ALL: 'C' } })).stdout;
}

/**
 * A pool on a new file, and its root directory. The kernel's threads do not see mounts of the sandbox: the file is on a
 * filesystem of the guest.
 */
export async function makePool(name: string, size: string, place = directory.path): Promise<string> {
  const disk = join(place, `${name}.disk`);
  await run('truncate', '--size', size, disk);
  const root = join(directory.path, name);
  await run('zpool', 'create', '-o', 'cachefile=none', '-O', `mountpoint=${root}`, name, disk);
  return root;
}

test.serial.before(async () => {
  directory.path = await mkdtemp('/scratch/zfs-');
  await makePool(TANK, '1G');
});

/** Destroys all pools; the modules can then be unloaded. */
export async function destroyPools(): Promise<void> {
  for (const { name } of await zpool.list()) await run('zpool', 'destroy', '-f', name);
}

test.after.always(async () => {
  await destroyPools();
  await rm(directory.path, { recursive: true, force: true });
});
