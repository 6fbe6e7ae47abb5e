import anyTest from 'ava';
import { createHash } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { openTar } from '../../src/host/processes/decompress.ts';
import { run } from '../../src/host/processes/run.ts';
import { isSandboxed, mountCopy, newStore, removeCopy, temporary } from './images-fixture.ts';

const cache = process.env['PROXMOX_LXCRI_CACHE'] ?? '/var/cache/proxmox-lxcri-test';
const archives = ['bookworm', 'trixie'].map((suite) => join(cache, 'quickstart', `${suite}.tar.zst`));
const archive = archives.find((path) => existsSync(path));

const test = isSandboxed && archive !== undefined ? anyTest.serial : anyTest.serial.skip;
const reason = archive === undefined ? ' (skipped: test/quickstart/run has not kept a Debian root yet)' : '';

/** A tree's names, types, modes, owners, sizes, times, link targets and link counts. */
async function facts(path: string): Promise<string[]> {
  const format = ['-type', 'd', '-printf', '%P %y %m %U:%G %T@\n', '-o', '-printf', '%P %y %m %U:%G %s %T@ %l %n\n'];
  const { stdout } = await run('find', ['.', ...format], { cwd: path, maxOutputBytes: 1e7 });
  return stdout.split('\n').sort();
}

/** Digest of an archive of the tree: names, contents, devices, hard links and extended attributes. */
async function digest(path: string): Promise<string> {
  const options = ['--sort=name', '--format=posix', '--pax-option=delete=atime,delete=ctime', '--numeric-owner'];
  const { stdout } = await run('sh', [
    ...['-c', 'tar "$@" | sha256sum', '-', '-C', path, ...options],
    ...['--xattrs', '--xattrs-include=*', '--xattrs-exclude=trusted.overlay.*', '-cf', '-', '.'],
  ]);
  return stdout;
}

test(`A Debian root equals what GNU tar unpacks${reason}`, async (t) => {
  const directory = await temporary(t);
  const hash = createHash('sha256');
  await pipeline(await openTar(archive!), hash);
  const diffId = `sha256:${hash.digest('hex')}`;
  const store = await newStore(join(directory, 'store'));
  await store.applyLayer({ parent: undefined, chainId: diffId, diffId, blob: archive! });
  const ours = await mountCopy(store, 'c1', diffId);

  const theirs = join(directory, 'theirs');
  await mkdir(theirs);
  const flags = ['--numeric-owner', '--same-owner', '--same-permissions', '--xattrs', '--xattrs-include=*'];
  await run('tar', ['--zstd', ...flags, '-C', theirs, '-xf', archive!]);

  const expected = await facts(theirs);
  t.true(expected.length > 5000, `${expected.length} entries`);
  t.deepEqual(await facts(ours), expected);
  t.is(await digest(ours), await digest(theirs));
  await removeCopy(store, 'c1');
});
