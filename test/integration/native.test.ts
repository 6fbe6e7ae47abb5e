import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, copyFile, mkdir, mkdtemp, readFile, rm, stat, statfs, writeFile } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { NativeHelper } from '../../src/host/native/helper.ts';
import { AnswerReader, encodeRelease, encodeRun } from '../../src/host/native/messages.ts';
import { encodeStep } from '../../src/host/native/steps.ts';
import type { Step } from '../../src/host/native/steps.ts';

const run = promisify(execFile);
const NSFS = 0x6e736673;
const map = { hostId: 65_536, size: 65_536 };
const sanitized = (await run('src/native/build', ['--sanitize'])).stdout.trim();

for (const [kind, program] of [
  ['shipped', undefined],
  ['sanitized', sanitized],
] as const) {
  test.serial(`${kind}: mounts and unmounts can be repeated`, async (t) => {
    const { helper, directory } = await fixture(t, program);
    const options = { source: 'none', type: 'tmpfs', options: 'size=64k,mode=750', flags: 2 };
    const mount: Step = { do: 'mount', target: directory, ...options, unlessMounted: true };
    for (let i = 0; i < 2; i++) t.is((await helper.request([mount]))[0]?.problem, '');
    t.is(await lines(directory), 1);
    t.regex((await run('findmnt', ['-no', 'OPTIONS', directory])).stdout, /nosuid.*size=64k,mode=750/);
    t.is((await helper.request([{ ...mount, unlessMounted: false }]))[0]?.status, 'done');
    t.is(await lines(directory), 2);
    for (let i = 0; i < 2; i++)
      t.is((await helper.request([{ do: 'unmount', target: directory, all: true }]))[0]?.status, 'done');
    t.is(await lines(directory), 0);
    const [bad] = await helper.request([{ do: 'mount', target: join(directory, 'absent'), ...options }]);
    t.deepEqual([bad?.code, bad?.problem], ['ENOENT', `mount ${join(directory, 'absent')}: No such file or directory`]);
  });

  test.serial(`${kind}: namespaces are pinned and configured repeatedly`, async (t) => {
    const { helper, directory } = await fixture(t, program);
    for (const owned of [false, true]) {
      const below = join(directory, String(owned));
      await mkdir(below);
      const names = ['net', 'ipc', 'uts', ...(owned ? ['user' as const] : [])] as const;
      const pins = new Map(names.map((name) => [name as 'net', join(below, name)]));
      for (const file of pins.values()) await writeFile(file, '');
      t.teardown(() => helper.request([...pins.values()].map((target) => ({ do: 'unmount', target, all: true }))));
      const pin: Step = {
        do: 'pin',
        pins,
        ...(owned && { map }),
        hostname: 'pinned',
        loopback: true,
        sysctls: { 'net/ipv4/ip_unprivileged_port_start': '80' },
      };
      for (let i = 0; i < 2; i++) t.is((await helper.request([pin]))[0]?.problem, '');
      for (const file of pins.values()) {
        t.is((await statfs(file)).type, NSFS);
        t.is(await lines(file), 1);
      }
      const script =
        'hostname; cat /proc/sys/net/ipv4/ip_unprivileged_port_start; cat /sys/class/net/lo/operstate; ip -o link show lo';
      const [inside] = await helper.request([
        {
          do: 'spawn',
          argv: ['sh', '-c', script],
          env: { PATH: process.env['PATH'] },
          cwd: '/',
          namespaces: names.filter((name) => name !== 'user').map((name) => join(below, name)),
          descriptors: { 1: { kind: 'capture', limit: 1000 } },
        },
      ]);
      t.regex(inside?.outputs.get(1)?.bytes.toString() ?? '', /^pinned\n80\n[^]*LOOPBACK,UP/);
      const [refused] = await helper.request([{ ...pin, sysctls: { 'net/ipv4/no_such': '1' } }]);
      t.deepEqual([refused?.status, refused?.code], ['failed', 'ENOENT']);
      t.regex(refused?.problem ?? '', /^sysctl net\/ipv4\/no_such: /);
    }
  });

  test.serial(`${kind}: an overlay uses the ids of its namespace`, async (t) => {
    const { helper, directory } = await fixture(t, program);
    for (const name of ['lower', 'upper', 'work', 'merged']) await mkdir(join(directory, name));
    await writeFile(join(directory, 'lower/file'), 'content');
    const [can] = await helper.request([{ do: 'idmap', source: directory, map }]);
    t.is(can?.problem, '');
    const target = join(directory, 'merged');
    t.teardown(() => helper.request([{ do: 'unmount', target, all: true }]));
    const overlay: Step = {
      do: 'overlay',
      store: directory,
      links: '.',
      options: 'lowerdir=lower,upperdir=upper,workdir=work',
      flags: 0,
      target,
      map,
    };
    for (let i = 0; i < 2; i++) t.is((await helper.request([overlay]))[0]?.problem, '');
    t.is(await lines(target), 1);
    t.is((await stat(join(target, 'file'))).uid, map.hostId);
    const [cannot] = await helper.request([{ do: 'idmap', source: '/proc', map }]);
    t.regex(cannot?.problem ?? '', /^mount_setattr \/proc: /);
  });
}

test.serial('2,000 mutated messages cause no sanitizer report', async (t) => {
  const directory = await mkdtemp('/tmp/native-');
  t.teardown(() => rm(directory, { recursive: true }));
  await chmod(directory, 0o755);
  const program = join(directory, 'lxcri-native');
  await copyFile(sanitized, program);
  // Without privileges: mutated steps can do no harm.
  const args = ['--reuid=65534', '--regid=65534', '--clear-groups', '--no-new-privs', program, 'serve'];
  const child = spawn('setpriv', args, { stdio: ['ignore', 'ignore', 'pipe', 'pipe', 'pipe'] });
  t.teardown(() => child.kill('SIGKILL'));
  const ended = once(child, 'exit');
  let words = '';
  child.stderr?.on('data', (chunk: Buffer) => (words += chunk.toString()));
  const [requests, answers] = child.stdio.slice(3) as unknown as [Socket, Socket];
  const reader = new AnswerReader();
  const answered = new Set<number>();
  let ready = () => {};
  answers.on('data', (bytes: Buffer) => {
    for (const answer of reader.push(bytes)) {
      answered.add(answer.id);
      if (answer.kind === 'started') requests.write(encodeRelease(answer.id, answer.step));
    }
    ready();
  });
  for (const socket of [requests, answers]) socket.on('error', () => {});
  const samples: Step[] = [
    { do: 'spawn', argv: ['/bin/true'], env: {}, cwd: '/', descriptors: { 1: { kind: 'capture', limit: 10 } } },
    {
      do: 'spawn',
      argv: ['/bin/cat'],
      env: {},
      cwd: '/',
      descriptors: { 0: { kind: 'pipe-in' }, 1: { kind: 'pipe-out' } },
    },
    { do: 'stat', path: '/proc/self/exe' },
    { do: 'read', path: '/etc/hostname', limit: 100 },
    { do: 'mount', target: directory, flags: 2, options: 'x', cwd: '/' },
    { do: 'pin', pins: new Map([['net', '/nonexistent']]), map, sysctls: { 'net/ipv4/x': '1' } },
  ];
  let seed = 42;
  const below = (bound: number) => (seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31) % bound;
  for (let done = 1; done <= 2000; done++) {
    const message = encodeRun(done, false, [{ ...encodeStep(samples[below(samples.length)]!), limitMs: 2000 }]);
    // Not the length and the id: they locate the next message and match the answer.
    for (let left = below(4); left >= 0; left--) message[9 + below(message.length - 9)] = below(256);
    message.writeUInt8(1, 8);
    requests.write(message);
    if (done % 100 !== 0) continue;
    const probe = 1_000_000 + done;
    requests.write(encodeRun(probe, false, [encodeStep({ do: 'stat', path: '/' })]));
    while (!answered.has(probe)) {
      if (child.exitCode !== null || child.signalCode !== null) break;
      await Promise.race([new Promise<void>((resolve) => (ready = resolve)), ended]);
    }
    if (!answered.has(probe)) break;
  }
  requests.end();
  await ended;
  t.is(words, '');
  t.is(child.exitCode, 0);
  t.true(answered.has(1_002_000));
});

async function fixture(t: ExecutionContext, program: string | undefined) {
  const directory = await mkdtemp('/tmp/native-');
  const helper = new NativeHelper(program);
  t.teardown(() => rm(directory, { recursive: true }));
  t.teardown(() => helper.close());
  return { helper, directory };
}

/** How many mounts a path has. */
async function lines(path: string): Promise<number> {
  const text = await readFile('/proc/self/mountinfo', 'utf8');
  return text.split('\n').filter((line) => line.split(' ')[4] === path).length;
}
