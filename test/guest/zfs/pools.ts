import { mkdtemp, rm, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { CommandError, run as runProgram } from '../../../src/host/processes/run.ts';
import { zfsClient } from '../../../src/integrations/zfs/client.ts';
import { eventually } from '../../lib/eventually.ts';

export const { zfs, zpool } = zfsClient();

/** In `test/long zfs`, `zfs-many` and `zfs-states`, which try what test/run does in larger numbers and more states. */
export const IS_LONG = process.env['ZFS_LONG'] === '1';

/** Registers a test for {@link IS_LONG} alone. */
export const longTest = (title: string, body: (t: ExecutionContext) => Promise<void>): void => {
  if (IS_LONG) test.serial(title, body);
};

/** The pool of most tests; those that come to harm have their own. */
export const TANK = 'tank';

/** Where the pools' files are, and the mount points of their datasets. */
export const directory = { path: '' };

/**
 * Runs a program in the C locale and resolves with its standard output; rejects with a CommandError when it fails. By the
 * native helper: a fork of the test's own process takes twice the time here.
 */
export async function run(program: string, ...args: string[]): Promise<string> {
  return (await runProgram(program, args, { env: { ...process.env, LC_ALL: 'C' }, holds: 'nothing' })).stdout;
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

/** A pool whose device fails on demand. */
export interface FrailPool {
  /** Where its root dataset is mounted. */
  root: string;
  /** Its file. */
  disk: string;
  /** Has writes fail, and waits until the pool is suspended. */
  fail: () => Promise<void>;
  /** Has them succeed again, and clears the pool. */
  repair: () => Promise<void>;
}

/** Its device is a sparse file on a filesystem that can get no larger than it is; the pool is destroyed after the test. */
export async function frailPool(t: ExecutionContext, name: string, size = '128M'): Promise<FrailPool> {
  const place = await mkdtemp(join(tmpdir(), 'zfs-frail-'));
  t.teardown(() => rm(place, { recursive: true }));
  const root = await makePool(name, size, place);
  t.teardown(() => run('zpool', 'destroy', '-f', name).catch(() => undefined));
  const resize = (bytes: string) => run('mount', '-o', `remount,size=${bytes}`, tmpdir());
  t.teardown(() => resize('50%'));
  let written: Promise<unknown> | undefined;
  return {
    root,
    disk: join(place, `${name}.disk`),
    async fail() {
      await run('zpool', 'sync', name);
      // What is written meanwhile makes it larger.
      await eventually('a filesystem without room', async () => {
        const { blocks, bfree, bsize } = await statfs(place);
        return resize(String((blocks - bfree) * bsize)).catch(() => undefined);
      });
      written = run('dd', 'if=/dev/urandom', `of=${join(root, 'data')}`, 'bs=1M', 'count=8', 'conv=fsync');
      await eventually('the suspended pool', async () => (await zpool.get(name)).isSuspended);
      // It stays suspended; a server has its files there, too.
      await resize('50%');
    },
    async repair() {
      await run('zpool', 'clear', name);
      await written;
    },
  };
}

test.serial.before(async () => {
  directory.path = await mkdtemp('/scratch/zfs-');
  await makePool(TANK, '1G');
});

/** Destroys all pools; the modules can then be unloaded. Processes that are ending still hold them for a while. */
export async function destroyPools(): Promise<void> {
  for (const { name } of await zpool.list()) {
    await eventually(`the end of pool ${name}`, () =>
      run('zpool', 'destroy', '-f', name).then(
        () => true,
        (error: unknown) => {
          if (!(error instanceof CommandError) || !error.stderr.includes('pool is busy')) throw error;
          return false;
        },
      ),
    );
  }
}

test.after.always(async () => {
  await destroyPools();
  await rm(directory.path, { recursive: true, force: true });
});
