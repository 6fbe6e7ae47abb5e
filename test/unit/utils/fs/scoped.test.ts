import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import { mkdir, mkdtemp, readdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readFileScoped, resolveScoped, ScopedFileError, withScoped } from '../../../../src/utils/fs/scoped.ts';
import { run } from '../../../../src/host/processes/run.ts';

/** A root whose links try to leave it, beside a secret. */
async function makeRoot(t: ExecutionContext): Promise<{ root: string; outside: string }> {
  const outside = await mkdtemp(join(tmpdir(), 'scoped-'));
  t.teardown(() => rm(outside, { recursive: true }));
  const root = join(outside, 'root');
  await mkdir(join(root, 'etc'), { recursive: true });
  await writeFile(join(root, 'etc/passwd'), 'inside');
  await writeFile(join(outside, 'secret'), 'SECRET');
  const links = {
    abs: '/etc/passwd',
    up: '../../../../../../etc/passwd',
    dir: '/etc',
    'etc/self': 'passwd',
    'etc/dot': '../etc/./passwd',
    climb: '../secret',
    host: outside,
    loop: 'loop',
    ping: 'pong',
    pong: 'ping',
  };
  for (const [name, target] of Object.entries(links)) await symlink(target, join(root, name));
  return { root, outside };
}

test('links are resolved inside the root like chroot', async (t) => {
  const { root } = await makeRoot(t);
  for (const path of [
    'etc/passwd',
    '/etc/passwd',
    '//etc/../etc/passwd',
    '../../etc/passwd',
    'abs',
    'up',
    'dir/passwd',
    'dir/../etc/self',
    'etc/dot',
  ]) {
    t.is((await readFileScoped(root, path, 100))?.toString(), 'inside', path);
    t.is(await resolveScoped(root, path), join(root, 'etc/passwd'), path);
  }
});

test('a resolved path stays valid after the tree changes', async (t) => {
  const { root, outside } = await makeRoot(t);
  const seen = await withScoped(root, '/dir', async ({ path, stats }) => {
    t.true(stats.isDirectory());
    await rename(join(root, 'etc'), join(root, 'moved'));
    await symlink(outside, join(root, 'etc'));
    return (await run('ls', ['--', `${path}/`])).stdout;
  });
  t.regex(seen ?? '', /^passwd$/m);
  t.notRegex(seen ?? '', /secret/);
  t.is(await withScoped(root, 'none/x', () => Promise.resolve(1)), undefined);
  await t.throwsAsync(
    withScoped(root, 'loop', () => Promise.resolve(1)),
    { instanceOf: ScopedFileError },
  );
  const failing = withScoped(root, 'moved', () => Promise.reject(new Error('mine')));
  await t.throwsAsync(failing, { message: 'mine' });
});

test('a chain of links holds few descriptors', async (t) => {
  const { root } = await makeRoot(t);
  for (let link = 0; link < 20; link++) {
    const next = link === 19 ? 'etc/passwd' : `link${String(link + 1)}`;
    await symlink(`${'etc/../'.repeat(100)}${next}`, join(root, `link${String(link)}`));
  }
  const opened = await withScoped(root, 'link0', async () => (await readdir('/proc/self/fd')).length);
  t.true((opened ?? Infinity) < 500, String(opened));
});

test('a missing path is undefined; special files are refused', async (t) => {
  const { root } = await makeRoot(t);
  for (const path of ['none', 'etc/passwd/x', 'climb', '../secret', 'host/secret', 'none/../../secret']) {
    t.is(await readFileScoped(root, path, 100), undefined, path);
  }
  for (const path of ['etc', '', '/', 'dir', 'loop', 'ping']) {
    await t.throwsAsync(readFileScoped(root, path, 100), { instanceOf: ScopedFileError }, path);
  }
  await t.throwsAsync(resolveScoped(root, 'loop/x'), { instanceOf: ScopedFileError });
  await t.throwsAsync(readFileScoped(root, 'abs', 5), { instanceOf: ScopedFileError });
  t.is((await readFileScoped(root, 'abs', 6))?.length, 6);
});

test('no path leads outside', async (t) => {
  const { root, outside } = await makeRoot(t);
  const part = fc.constantFrom(
    '..',
    '.',
    '',
    'etc',
    'dir',
    'abs',
    'up',
    'climb',
    'host',
    'secret',
    'passwd',
    'self',
    'root',
    ...outside.split('/'),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(part, { maxLength: 8 }), async (parts) => {
      const path = parts.join('/');
      const resolved = await resolveScoped(root, path);
      t.true(resolved === root || resolved.startsWith(`${root}/`), path);
      const content = await readFileScoped(root, path, 100).catch((error: unknown) => {
        if (!(error instanceof ScopedFileError)) throw error;
        return undefined;
      });
      t.true(content === undefined || content.toString() === 'inside', path);
    }),
    { numRuns: 1500 },
  );
});

test('no path leads outside a changing root', async (t) => {
  const { root, outside } = await makeRoot(t);
  await mkdir(join(root, 'a/b'), { recursive: true });
  await writeFile(join(root, 'a/b/secret'), 'inside');
  await symlink(outside, join(root, 'evil'));
  let running = true;
  const swap = (async () => {
    while (running) {
      await rename(join(root, 'a'), join(root, 'moved'));
      await rename(join(root, 'evil'), join(root, 'a'));
      await rename(join(root, 'a'), join(root, 'evil'));
      await rename(join(root, 'moved'), join(root, 'a'));
    }
  })();
  for (let i = 0; i < 500; i++) {
    for (const path of ['a/b/secret', 'a/secret']) {
      const content = await readFileScoped(root, path, 100).catch(() => undefined);
      t.not(content?.toString(), 'SECRET');
    }
  }
  running = false;
  await swap;
});
