import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import test from 'ava';
import type { CliSignal } from '../../src/cli/command.ts';
import { eventually } from '../lib/eventually.ts';
import { cli as inProcess } from '../unit/cli/harness.ts';
import { sharedServer } from './cli-fixture.ts';
import { inventory, leftovers } from './leaks.ts';
import { IMAGE } from './server-fixture.ts';

const shared = sharedServer(test);

test.serial('run returns both streams and the exit code', async (t) => {
  const { cli, server } = shared;
  const warm = await cli.run('run', IMAGE, '--', 'true'); // Creates the bridge, which stays.
  t.deepEqual(warm, { code: 0, stdout: '', stderr: '' });
  const before = await inventory(server);
  for (const handler of ['lxc', 'crun']) {
    const script = 'printf "out\\nno newline"; echo err >&2; hostname; pwd; echo "$A"; exit 42';
    const options = ['--handler', handler, '--hostname', 'box', '-w', '/tmp', '-e', 'A=b c'];
    const outcome = await cli.run('run', ...options, IMAGE, '--', 'sh', '-c', script);
    t.deepEqual(outcome, { code: 42, stdout: 'out\nno newlinebox\n/tmp\nb c\n', stderr: 'err\n' });
  }
  t.is((await cli.run('ps', '-aq')).stdout, '');
  t.is((await cli.run('pods', '-q')).stdout, '');
  t.deepEqual(await leftovers(server, before), []);
  t.deepEqual(await cli.logDirectories(), []);
});

test.serial('run prints every line of a long output', async (t) => {
  const { cli } = shared;
  const { code, stdout, stderr } = await cli.run(
    'run',
    IMAGE,
    'sh',
    '-c',
    'seq 1 50000; seq 1 500 >&2; head -c 100000 /dev/zero | tr "\\0" x',
  );
  const numbers = (end: number) => Array.from({ length: end }, (_, index) => `${String(index + 1)}\n`).join('');
  t.is(code, 0);
  // A log consists of lines: the last one is closed if the container did not close it.
  t.is(stdout.length, numbers(50_000).length + 100_001);
  t.true(stdout.startsWith(numbers(50_000)) && stdout.endsWith(`${'x'.repeat(100_000)}\n`));
  t.is(stderr, numbers(500));
});

const SECURITY = [
  'grep ^Seccomp: /proc/self/status',
  // Opening it for writing changes nothing on the machine.
  '(: >/proc/sys/kernel/core_pattern) 2>/dev/null && echo writable',
  'test -s /proc/keys && echo keys',
  'ls -A /sys/firmware | wc -l',
].join('; ');

test.serial('run confines containers as the kubelet does by default', async (t) => {
  const { cli } = shared;
  for (const handler of ['lxc', 'crun']) {
    const { code, stdout } = await cli.run('run', '--handler', handler, IMAGE, '--', 'sh', '-c', SECURITY);
    t.deepEqual([code, stdout], [0, 'Seccomp:\t2\n0\n'], handler);
  }
});

test.serial('--security-opt lifts one confinement, --privileged lifts all', async (t) => {
  const { cli } = shared;
  const script = 'grep ^Seccomp: /proc/self/status; (: >/proc/sys/kernel/core_pattern) 2>/dev/null && echo writable';
  const run = async (...options: string[]) =>
    (await cli.run('run', ...options, IMAGE, '--', 'sh', '-c', `${script}; true`)).stdout;
  t.is(await run(), 'Seccomp:\t2\n');
  t.is(await run('--security-opt', 'seccomp=unconfined'), 'Seccomp:\t0\n');
  t.is(await run('--security-opt', 'systempaths=unconfined'), 'Seccomp:\t2\nwritable\n');
  t.is(await run('--privileged'), 'Seccomp:\t0\nwritable\n');
  const wrong = await cli.run('run', '--security-opt', 'seccomp', IMAGE);
  t.is(wrong.code, 125);
  t.regex(wrong.stderr, /--security-opt: "seccomp"/);
});

test.serial('The first signal stops the container, the second kills', async (t) => {
  const { cli } = shared;
  const loop = 'echo up; while :; do sleep 0.1; done';
  const polite = cli.start('run', IMAGE, 'sh', '-c', `trap "echo bye; exit 9" TERM; ${loop}`);
  await cli.output(polite);
  polite.process.kill('SIGINT');
  t.like(await polite.done, { code: 9, stderr: '' });

  const deaf = cli.start('run', IMAGE, 'sh', '-c', `trap "echo no" TERM; ${loop}`);
  await cli.output(deaf);
  deaf.process.kill('SIGTERM');
  await cli.output(deaf);
  deaf.process.kill('SIGTERM');
  t.like(await deaf.done, { code: 137, stderr: '' });

  const late = await cli.run('run', '--timeout', '1', IMAGE, 'sh', '-c', `trap exit TERM; ${loop}`);
  t.is(late.code, 124);
  t.is((await cli.run('pods', '-q')).stdout, '');
  t.deepEqual(await cli.logDirectories(), []);
});

test.serial('A container that cannot start is reported, without leftovers', async (t) => {
  const { cli } = shared;
  const absent = await cli.run('run', IMAGE, '--', '/no/such/program');
  t.is(absent.code, 127);
  t.regex(absent.stderr, /^proxmox-lxcri: .*no\/such\/program/);
  t.is((await cli.run('run', IMAGE, '--', '/etc')).code, 126);
  const unknown = await cli.run('run', '--handler', 'nope', IMAGE, 'true');
  t.is(unknown.code, 125);
  t.regex(unknown.stderr, /nope/);
  t.like(await cli.run('run', '--pull', 'never', 'localhost/none:x'), { code: 125 });
  t.is((await cli.run('pods', '-q')).stdout, '');
  t.deepEqual(await cli.logDirectories(), []);
});

test.serial('A detached container can be managed by every command', async (t) => {
  const { cli, server } = shared;
  const mount = `${server.directory}/config.toml:/etc/there:ro`;
  const script = 'echo one; echo two >&2; trap "exit 0" TERM; while :; do sleep 0.1; done';
  const { stdout } = await cli.run('run', '-d', '--name', 'web', '-v', mount, IMAGE, '--', 'sh', '-c', script);
  const id = stdout.trim();
  t.regex(id, /^[0-9a-f]{64}$/);
  t.regex((await cli.run('ps')).stdout, new RegExp(`${id.slice(0, 13)} .*${IMAGE} .*Running +web`));
  t.regex((await cli.run('pods')).stdout, /Ready +web +default/);
  t.like(await cli.run('exec', 'web', '--', 'sh', '-c', 'cat /etc/there | head -n 2; echo e >&2; exit 3'), {
    code: 3,
    stdout: `\nroot = "${server.directory}/root"\n`,
    stderr: 'e\n',
  });
  await eventually('both lines', async () => {
    const { stdout: out, stderr: err } = await cli.run('logs', 'web');
    return out !== '' && err !== '';
  });
  t.like(await cli.run('logs', 'web'), { code: 0, stdout: 'one\n', stderr: 'two\n' });
  const inspected = JSON.parse((await cli.run('inspect', id.slice(0, 8))).stdout) as {
    status: Record<'id' | 'state' | 'createdAt', string>;
  };
  t.is(inspected.status.id, id);
  t.is(inspected.status.state, 'CONTAINER_RUNNING');
  t.regex(inspected.status.createdAt, /^\d{4}-\d\d-\d\dT[\d:]{8}\.\d{9}Z$/);
  const pod = await cli.run('inspect', (await cli.run('pods', '-q')).stdout.trim());
  t.regex(pod.stdout, /"state": "SANDBOX_READY"/);
  t.regex(pod.stdout, /"network": "POD"/);
  const following = cli.start('logs', '-f', 'web');
  await cli.output(following);
  t.like(await cli.run('rm', 'web'), { code: 1 });
  t.is((await cli.run('stop', 'web')).stdout.trim(), id);
  t.like(await following.done, { code: 0, stdout: 'one\n', stderr: 'two\n' });
  t.is((await cli.run('ps', '-q')).stdout, '');
  t.is((await cli.run('ps', '-aq')).stdout.trim(), id);
  t.like(await cli.run('rm', 'web'), { code: 0, stderr: '' });
  t.is((await cli.run('pods', '-q')).stdout, '');
  t.deepEqual(await cli.logDirectories(), []);
});

test.serial('Images are imported, listed, inspected and removed', async (t) => {
  const { cli, server } = shared;
  const archive = join(server.directory, 'tiny.tar');
  const imported = await cli.run('import', archive, '--name', 'localhost/other:1', '-o', 'json');
  t.like(imported, { code: 0, stderr: '' });
  const { imageIds } = JSON.parse(imported.stdout) as { imageIds: string[]; names: string[] };
  t.regex((await cli.run('images')).stdout, /localhost\/other +1 +[0-9a-f]{13} +\d/);
  const inspected = JSON.parse((await cli.run('inspect', 'localhost/other:1')).stdout) as { image: { id: string } };
  t.deepEqual([inspected.image.id], imageIds);
  t.like(await cli.run('rmi', 'localhost/other:1'), { code: 0 });
  t.is((await cli.run('images', '-q')).stdout, '');
  t.deepEqual(await cli.run('rmi', 'localhost/other:1'), {
    code: 1,
    stdout: '',
    stderr: 'proxmox-lxcri: image "localhost/other:1" not found\n',
  });
  t.like(await cli.run('import', archive), { code: 0 });
  const missing = await cli.run('import', '/no/such/archive.tar');
  t.is(missing.code, 1);
  t.regex(missing.stderr, /^proxmox-lxcri: .*\/no\/such\/archive\.tar/);
});

test.serial('Images go to BFC files and come back', async (t) => {
  const { cli, server } = shared;
  const directory = join(server.directory, 'bfc');
  await mkdir(directory);
  const at = (name: string) => join(directory, name);
  await writeFile(at('password'), 'secret\n');
  await writeFile(at('wrong'), 'wrong');
  const bfc = (command: string, words: readonly string[], outside?: Parameters<typeof inProcess>[1]) =>
    inProcess(['bfc', command, '--address', cli.address, ...words], outside);
  const exported = await bfc('export', [
    IMAGE,
    at('a.bfc'),
    '--password-file',
    at('password'),
    '--name',
    'r.example/a:1',
  ]);
  t.is(exported.code, 0, exported.stderr);
  const [, id = ''] = /^(sha256:[0-9a-f]{64}) r\.example\/a:1\n$/.exec(exported.stdout) ?? [];
  t.like(await bfc('pack', [IMAGE, at('b.bfc'), '--level', '0']), { code: 0 });
  const neither = await bfc('pack', ['localhost/none', at('c.bfc')]);
  t.is(
    neither.stderr,
    'Exporting localhost/none\nproxmox-lxcri: "localhost/none": there is no such file; as an image: image "localhost/none" not found\n',
  );
  for (const [words, what] of [
    [
      [],
      /a\.bfc": is encrypted with a password, and there is none; .*; or use --password-file, --password-fd or a terminal\n$/,
    ],
    [['--password-file', at('wrong')], /a\.bfc": is encrypted with a password, and the 1 known do not fit/],
  ] as const) {
    const refused = await bfc('import', [at('a.bfc'), ...words]);
    t.is(refused.code, 1);
    t.regex(refused.stderr, what);
  }
  t.false((await cli.run('images', '--no-trunc')).stdout.includes(id));
  const stdin = Object.assign(new PassThrough(), { isTTY: true });
  stdin.write('secret\r');
  const imported = await bfc('import', [at('a.bfc')], { stdin });
  t.deepEqual([imported.code, imported.stdout], [0, `${id}\nr.example/a:1\n`], imported.stderr);
  t.regex(imported.stderr, /^Password of .*a\.bfc: \nImported .* in .* s\n$/);
  t.is((await cli.run('run', 'r.example/a:1', 'echo', 'started')).stdout, 'started\n');
  const again = await bfc('import', [at('b.bfc'), '--json', '--name', 'r.example/b:1', '--image', IMAGE]);
  t.like(JSON.parse(again.stdout), { imageIds: [id], names: ['r.example/a:1', 'r.example/b:1'] });
  const unknown = await bfc('import', [at('b.bfc'), '--image', 'busybox']);
  t.regex(unknown.stderr, /b\.bfc": has no image "busybox"; it has: localhost\/tiny:test\n$/);
  t.like(await cli.run('rmi', 'r.example/a:1'), { code: 0 });
  t.deepEqual((await readdir(directory)).sort(), ['a.bfc', 'b.bfc', 'password', 'wrong']);
});

test.serial('An interrupted export leaves nothing', async (t) => {
  const { cli, server } = shared;
  const directory = join(server.directory, 'interrupted');
  await mkdir(directory);
  let interrupt: (signal: CliSignal) => void = () => undefined;
  const words = ['bfc', 'export', '--address', cli.address, IMAGE, join(directory, 'a.bfc')];
  const env = { TMPDIR: directory };
  const done = inProcess(words, { env, signals: (send) => (interrupt = send) });
  await eventually('a begun export', async () => (await readdir(directory)).length > 0);
  interrupt('SIGINT');
  t.deepEqual(await done, {
    code: 1,
    stdout: '',
    stderr: `Exporting ${IMAGE}\nproxmox-lxcri: interrupted by SIGINT\n`,
  });
  t.deepEqual(await readdir(directory), []);
});

test.serial('serve explains startup errors; clients explain a stale socket', async (t) => {
  const { cli, server } = shared;
  await server.end('SIGTERM');
  const { code, stderr } = await cli.run('ps');
  t.is(code, 1);
  t.regex(stderr, /no server listens on unix:.*start it with "proxmox-lxcri serve"/);
});
