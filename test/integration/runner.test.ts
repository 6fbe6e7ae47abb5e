import { open, readFile, readdir, readlink, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import anyTest from 'ava';
import { CriError, StatusCode } from '../../src/core/model/errors.ts';
import { eventually } from '../lib/eventually.ts';
import { inventory, leftovers } from './leaks.ts';
import { IDLE, RunnerFixture, outputOf, processesWith, testCgroup } from './runner-fixture.ts';

const test = testCgroup === undefined ? anyTest.serial.skip : anyTest.serial;

test('A container is created, started and reports its exit', async (t) => {
  const f = await RunnerFixture.make(t);
  const begun = Date.now();
  t.like(await f.runner.version(), { name: 'crun' });
  // A pod could configure the runtime with these.
  const annotations = { a: 'b', 'run.oci.hooks.stdout': '/x', 'org.systemd.property.TimeoutStopUSec': 'uint64 1' };
  const id = await f.create(['sh', '-c', 'exit 7'], { change: (made) => (made.annotations = annotations) });
  const created = await f.runner.inspect(id);
  t.is(created.status, 'created');
  const spec = f.spec(id, ['sh', '-c', 'exit 7']);
  t.deepEqual(await f.runner.spec(id), { ...spec, annotations: { a: 'b' } });
  t.is((await stat(f.bundle(id))).mode & 0o777, 0o700);
  t.is((await stat(join(f.bundle(id), 'config.json'))).mode & 0o777, 0o600);
  await f.runner.start(id);
  const exit = await f.exit(id);
  t.like(exit, { id, exitCode: 7, oomKilled: false });
  const endedAt = Number(exit.finishedAt / 1_000_000n);
  t.true(endedAt > begun - 1000 && endedAt < Date.now() + 1000);
  t.deepEqual(await f.runner.inspect(id), { status: 'stopped', exit });
  await f.runner.signal(id, 15);
  await f.runner.killAll(id);
  await t.throwsAsync(f.runner.start(id), { instanceOf: CriError, code: StatusCode.UNKNOWN });
  await f.runner.remove(id);
  await f.runner.remove(id);
  t.deepEqual(await f.runner.inspect(id), { status: 'absent' });
  t.is(await f.runner.spec(id), undefined);
  t.is(await f.runner.usage(id), undefined);
});

test('Exit codes include signals and failed starts', async (t) => {
  const f = await RunnerFixture.make(t);
  const ok = await f.shell('true');
  const killed = await f.shell(IDLE);
  const terminated = await f.shell(`trap 'exit 0' 34; kill -15 $$; ${IDLE}`); // PID 1 ignores it.
  const realtime = await f.shell(`trap 'exit 9' 37; echo ready; ${IDLE}`);
  const unstarted = await f.create(['true']);
  const outside = await f.run(['sleep', '100'], { change: (spec) => (spec.linux.namespaces = [{ type: 'mount' }]) });
  t.like(await f.exit(ok), { exitCode: 0 });
  await f.runner.signal(killed, 9);
  t.like(await f.exit(killed), { exitCode: 137 });
  t.is((await f.runner.inspect(terminated)).status, 'running');
  await eventually('the trap', async () => (await f.logLines(realtime)).length > 0);
  await f.runner.signal(realtime, 37);
  t.like(await f.exit(realtime), { exitCode: 9 });
  await f.runner.killAll(unstarted);
  t.like(await f.exit(unstarted), { exitCode: 137 });
  await f.runner.signal(outside, 15);
  t.like(await f.exit(outside), { exitCode: 143 });
  t.is(f.exits.length, 5);
});

test('Standard input is empty unless requested', async (t) => {
  const f = await RunnerFixture.make(t);
  const closed = await f.shell('cat /dev/stdin; echo read; exec cat');
  t.like(await f.exit(closed), { exitCode: 0 });
  t.is(outputOf(await f.logLines(closed), 'stdout').toString(), 'read\n');
  const open = await f.shell('exec cat', { stdin: true, stdinOnce: true });
  t.is((await f.exec(open, 'echo x')).exitCode, 0);
  t.is((await f.runner.inspect(open)).status, 'running');
  t.true((await stat(join(f.bundle(open), 'attach'))).isSocket());
});

test('A failed create leaves nothing and quotes the runtime', async (t) => {
  const f = await RunnerFixture.make(t);
  const missing = await t.throwsAsync(f.create(['nosuch']), { instanceOf: CriError, code: StatusCode.UNKNOWN });
  t.regex(missing?.message ?? '', /executable file `nosuch` not found/);
  const mount = { destination: '/x', type: 'bind', source: '/nonexistent', options: ['bind'] };
  await t.throwsAsync(f.create(['true'], { change: (spec) => spec.mounts.push(mount) }), { message: /nonexistent/ });
  const tty = f.create(['nosuch'], { terminal: true });
  await t.throwsAsync(tty, { instanceOf: CriError, message: /not found/ });
  const outside = f.create(['true'], { change: (spec) => (spec.linux.cgroupsPath = '/elsewhere') });
  await t.throwsAsync(outside, { instanceOf: CriError, code: StatusCode.INTERNAL });
  t.deepEqual(await f.runner.list(), []);
  t.deepEqual((await readdir(f.directory)).sort(), ['rootfs', 'state']);
  for (const name of ['containers', 'exits', 'runtime', 'tmp'])
    t.deepEqual(await readdir(join(f.directory, 'state', name)), []);
  await eventually('the end of all processes', async () => (await processesWith(f.directory)).length === 0);
  const id = await f.create(['true']);
  const again = f.runner.create({
    id,
    spec: f.spec(id, ['true']),
    placement: { namespaces: {}, cgroup: f.cgroup, monitorCgroup: `${f.cgroup}-monitors` },
    logPath: undefined,
    stdin: false,
    stdinOnce: false,
  });
  await t.throwsAsync(again, { instanceOf: CriError, code: StatusCode.ALREADY_EXISTS });
  t.is((await f.runner.inspect(id)).status, 'created', 'the first one is not touched');
});

test('A running container is limited, updated, counted and OOM-killed', async (t) => {
  const f = await RunnerFixture.make(t);
  const small = { limit: 16_777_216, swap: 16_777_216 };
  const modest = await f.shell('exit 137', { resources: { memory: small } });
  const id = await f.run(['tail', '/dev/zero'], {
    resources: { memory: small },
    change: (spec) => {
      spec.linux.devices = [{ path: '/dev/zero', type: 'c', major: 1, minor: 5 }];
    },
  });
  t.like(await f.exit(id), { exitCode: 137, oomKilled: true });
  t.like(await f.runner.inspect(id), { exit: { oomKilled: true } });
  t.like(await f.exit(modest), { exitCode: 137, oomKilled: false });

  const calm = await f.shell(IDLE, { resources: { memory: small } });
  const usage = await f.runner.usage(calm);
  t.true((usage?.cpuNanoseconds ?? 0n) > 0n && (usage?.memoryUsageBytes ?? 0n) > 0n && (usage?.processes ?? 0n) > 0n);
  t.true((usage?.memoryWorkingSetBytes ?? 0n) <= (usage?.memoryUsageBytes ?? 0n));
  await f.runner.update(calm, { memory: { limit: 33_554_432, swap: 33_554_432 }, cpu: { shares: 512 } });
  const values = await Promise.all(
    (await f.cgroups(calm)).map(async (path) => [
      await readFile(join(path, 'memory.limit_in_bytes'), 'utf8').catch(() => ''),
      await readFile(join(path, 'memory.max'), 'utf8').catch(() => ''),
    ]),
  );
  t.true(values.flat().includes('33554432\n'));
  await t.throwsAsync(f.runner.update(calm, { memory: { limit: 1 } }), {
    instanceOf: CriError,
    code: StatusCode.UNKNOWN,
  });
  t.deepEqual(
    (await readdir(f.bundle(calm))).filter((name) => name.startsWith('resources')),
    [],
  );
});

test('conmon has its own cgroup, session and environment', async (t) => {
  const f = await RunnerFixture.make(t);
  const marker = await open(join(f.directory, 'marker'), 'w');
  t.teardown(() => marker.close());
  process.env['LISTEN_FDS'] = '1';
  t.teardown(() => delete process.env['LISTEN_FDS']);
  const id = await f.shell(IDLE);
  const proc = `/proc/${String(await f.monitor(id))}`;
  const groups = await readFile(`${proc}/cgroup`, 'utf8');
  t.true(groups.split('\n').some((line) => line.endsWith(`${f.cgroup}-monitors`)));
  t.is((await readFile(`${proc}/stat`, 'utf8')).split(' ')[5], proc.slice(6));
  const names = (await readFile(`${proc}/environ`, 'utf8')).split('\0').map((entry) => entry.split('=')[0] ?? '');
  t.deepEqual(names.filter((name) => !['', 'PWD'].includes(name)).sort(), ['PATH', 'TMPDIR', '_OCI_SYNCPIPE']);
  const targets = await Promise.all(
    (await readdir(`${proc}/fd`)).map((fd) => readlink(`${proc}/fd/${fd}`).catch(() => 'closed')),
  );
  t.true(targets.includes(f.log(id)));
  t.false(targets.includes(join(f.directory, 'marker')));
});

test('killAll ends processes in a shared PID namespace', async (t) => {
  const f = await RunnerFixture.make(t);
  const id = await f.shell(`setsid sh -c '${IDLE}' </dev/null >/dev/null 2>&1 & exit 6`, {
    change: (spec) => (spec.linux.namespaces = [{ type: 'mount' }]),
  });
  t.like(await f.exit(id), { exitCode: 6 });
  const inside = async () => {
    const files = (await f.cgroups(id)).map((path) => readFile(join(path, 'cgroup.procs'), 'utf8'));
    return (await Promise.all(files)).join('');
  };
  t.not(await inside(), '');
  await f.runner.killAll(id);
  t.is(await inside(), '');
});

test('192 containers created and removed in parallel leave nothing', async (t) => {
  const f = await RunnerFixture.make(t);
  const mounts = await readFile('/proc/self/mountinfo', 'utf8');
  let ended = 0;
  const worker = async (number: number) => {
    for (let turn = 0; turn < 24; turn += 1) {
      const id = await f.shell(turn % 2 === 0 ? `echo ${String(number)}; exit ${String(turn)}` : IDLE);
      if (turn % 2 === 0) {
        t.like(await f.exit(id), { exitCode: turn });
        t.is(outputOf(await f.logLines(id), 'stdout').toString(), `${String(number)}\n`);
      }
      await f.runner.remove(id);
      t.deepEqual(await f.cgroups(id), []);
      ended += 1;
    }
  };
  await Promise.all(Array.from({ length: 8 }, (_, number) => worker(number)));
  t.is(ended, 192);
  t.is(f.exits.length, 192);
  t.is(new Set(f.exits.map(({ id }) => id)).size, 192);
  t.deepEqual(f.warnings, []);
  t.deepEqual(await f.runner.list(), []);
  for (const name of ['containers', 'exits', 'runtime', 'tmp'])
    t.deepEqual(await readdir(join(f.directory, 'state', name)), []);
  await eventually('the end of all processes', async () => (await processesWith(f.directory)).length === 0);
  t.is(await readFile('/proc/self/mountinfo', 'utf8'), mounts);
});

test('A cancelled create terminates the runtime and leaves nothing', async (t) => {
  const program = resolve('test/fixtures/hanging/crun');
  const fixture = await RunnerFixture.make(t, program);
  await fixture.runner.version();
  const before = await inventory(fixture);
  const caller = new AbortController();
  const created = fixture.create(['true'], {}, caller.signal);
  const reason = new Error('the caller has left');
  await eventually('a runtime at work', async () =>
    (await processesWith(program)).some((line) => line.includes(' create ')),
  );
  caller.abort(reason);
  t.is(await t.throwsAsync(created), reason);
  t.deepEqual(await processesWith(program), []);
  t.deepEqual(await leftovers(fixture, before), []);
});

test('An exit that a listener rejected is reported again', async (t) => {
  const f = await RunnerFixture.make(t);
  const codes: number[] = [];
  f.runner.onExit(({ exitCode }) => {
    codes.push(exitCode);
    return codes.length === 1 ? Promise.reject(new Error('not now')) : Promise.resolve();
  });
  await f.shell('exit 7');
  t.deepEqual(await eventually('the second report', () => codes.length > 1 && codes), [7, 7]);
});
