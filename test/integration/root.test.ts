import test from 'ava';
import type { ExecutionContext } from 'ava';
import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { CommandError, run } from '../../src/host/processes/run.ts';
import { HANG_MS, eventually } from '../lib/eventually.ts';
import { unmountBelow } from '../lib/mounts.ts';
import { ServerFixture } from './server-fixture.ts';
import { programFile } from '../lib/program.ts';

/** Runs a command of the program to its end and returns its exit code and output. */
async function program(...args: string[]): Promise<{ code: number | undefined; said: string }> {
  try {
    const { stdout, stderr } = await run(process.execPath, [programFile('main'), ...args], { timeoutMs: HANG_MS });
    return { code: 0, said: stdout + stderr };
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    return { code: error.exitCode, said: error.stdout + error.stderr };
  }
}

async function temporaryDirectory(t: ExecutionContext): Promise<string> {
  const path = await mkdtemp('/tmp/root-');
  t.teardown(async () => {
    await unmountBelow(path);
    await rm(path, { recursive: true, force: true });
  });
  return path;
}

test.serial("serve, wipe and doctor refuse another program's directory", async (t) => {
  const directory = await temporaryDirectory(t);
  const root = join(directory, 'vz');
  for (const name of ['images/100', 'containers', 'volumes']) await mkdir(join(root, name), { recursive: true });
  await writeFile(join(root, 'images/100/vm-100-disk-0.raw'), 'disk');
  const before = await readdir(root, { recursive: true });
  const flags = ['--root', root, '--state', join(directory, 'state'), '--listen', `unix://${directory}/cri.sock`];
  for (const command of [['serve'], ['wipe', '--force']]) {
    const { code, said } = await program(...command, ...flags);
    t.is(code, 1, said);
    t.regex(said, /is not empty and does not belong to this server: it has containers, images, volumes/);
  }
  t.regex((await program('doctor', ...flags)).said, /does not belong to this server/);
  t.regex((await program('serve', ...flags, '--root', '/')).said, /root: \/ is not allowed as the root directory/);
  t.deepEqual(await readdir(root, { recursive: true }), before);
  await t.throwsAsync(readdir(join(directory, 'state')), { code: 'ENOENT' });
});

test.serial('a failed start ends with a JSON log line', async (t) => {
  const directory = await temporaryDirectory(t);
  const flags = (places: { root?: string; state?: string; listen?: string }) => {
    const { root = `${directory}/root`, state = `${directory}/state`, listen = `${directory}/cri.sock` } = places;
    return ['--root', root, '--state', state, '--listen', `unix://${listen}`];
  };
  await symlink('/proc/none', join(directory, 'link'));
  for (const places of [
    { root: '/proc/none' },
    { root: `${directory}/link/root` },
    { state: '/proc/none/state' },
    { listen: '/proc/none/cri.sock' },
  ]) {
    const { code, said } = await program('serve', '--log-format', 'json', '--metrics-listen', '', ...flags(places));
    t.is(code, 1, said);
    const last = said.trimEnd().split('\n').at(-1) ?? '';
    const { level, msg, error } = JSON.parse(last) as Record<string, string>;
    t.deepEqual([level, msg], ['error', 'Server failed']);
    t.true(
      ['/proc/none', `${directory}/link`].some((path) => error?.includes(path)),
      error,
    );
  }
});

test.serial('wipe of nothing succeeds', async (t) => {
  const directory = await temporaryDirectory(t);
  for (const root of [directory, join(directory, 'none')]) {
    const { code, said } = await program('wipe', '--root', root, '--state', join(directory, 'state'));
    t.is(code, 0);
    t.regex(said, /^Nothing to remove/);
  }
  t.deepEqual(await readdir(directory), []);
});

test.serial('a second server on the same root is refused', async (t) => {
  const server = await ServerFixture.make(t);
  const root = join(server.directory, 'root');
  await symlink(root, join(server.directory, 'link'));
  const flags = ['--state', join(server.directory, 'other'), '--listen', `unix://${server.directory}/other.sock`];
  const serve = [programFile('main'), 'serve', ...flags, '--root'];
  for (const [command, ...args] of [
    [process.execPath, ...serve, root],
    [process.execPath, ...serve, `${root}/`],
    [process.execPath, ...serve, join(server.directory, 'link')],
    ['unshare', '--net', process.execPath, ...serve, root],
  ]) {
    const failure = await t.throwsAsync(run(command ?? '', args, { timeoutMs: HANG_MS }), { instanceOf: CommandError });
    t.regex(failure?.stderr ?? '', /another server uses/);
  }
  t.is((await server.containers()).containers.length, 0);
});

test.serial('an occupied metrics port does not prevent the start', async (t) => {
  const neighbour = createServer();
  await new Promise<void>((resolve) => neighbour.listen({ host: '127.0.0.1', port: 0 }, resolve));
  t.teardown(() => neighbour.close());
  const { port } = neighbour.address() as AddressInfo;
  const server = await ServerFixture.make(t, '', { metrics: `127.0.0.1:${String(port)}` });
  t.regex(await server.log(), /Metrics endpoint unavailable/);
  await new Promise((resolve) => neighbour.close(resolve));
  const page = async () => fetch(`http://127.0.0.1:${String(port)}/metrics`).catch(() => undefined);
  await eventually('the metrics', async () => (await page())?.status === 200);
  t.pass();
});

test.serial('SIGKILL releases the lock of the root', async (t) => {
  const server = await ServerFixture.make(t);
  await server.sh(await server.pod('p'), 'c', 'exec sleep 1000');
  await server.end('SIGKILL');
  await server.start();
  t.is((await server.containers()).containers.length, 1);
});
