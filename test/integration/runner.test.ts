import { spawn } from 'node:child_process';
import { open, readFile, readdir, readlink, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import anyTest from 'ava';
import { CriError, StatusCode } from '../../src/core/model/errors.ts';
import type { OciSpec } from '../../src/core/model/oci-runtime.ts';
import { IDLE, RunnerFixture, outputOf, parseLog, processesWith, testCgroup, until } from './runner-fixture.ts';

const test = testCgroup === undefined ? anyTest.serial.skip : anyTest.serial;

test('A container is created, started, and ends with its own code', async (t) => {
  const f = await RunnerFixture.make(t);
  t.like(await f.runner.version(), { name: 'crun' });
  const id = await f.create(['sh', '-c', 'exit 7']);
  const created = await f.runner.inspect(id);
  t.is(created.status, 'created');
  t.deepEqual(await f.runner.spec(id), f.spec(id, ['sh', '-c', 'exit 7']));
  t.is((await stat(f.bundle(id))).mode & 0o777, 0o700);
  t.is((await stat(join(f.bundle(id), 'config.json'))).mode & 0o777, 0o600);
  await f.runner.start(id);
  const exit = await f.exit(id);
  t.like(exit, { id, exitCode: 7, oomKilled: false });
  t.true(Math.abs(Number(exit.finishedAt / 1_000_000n) - Date.now()) < 60_000);
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

test('Exit codes are the true ones, also when a signal ends the container or nothing was started', async (t) => {
  const f = await RunnerFixture.make(t);
  const ok = await f.shell('true');
  const killed = await f.shell(IDLE);
  const terminated = await f.shell(`trap 'exit 0' 34; kill -15 $$; ${IDLE}`); // PID 1 ignores it
  const realtime = await f.shell(`trap 'exit 9' 37; echo ready; ${IDLE}`);
  const unstarted = await f.create(['true']);
  const outside = await f.run(['sleep', '100'], { change: (spec) => (spec.linux.namespaces = [{ type: 'mount' }]) });
  t.like(await f.exit(ok), { exitCode: 0 });
  await f.runner.signal(killed, 9);
  t.like(await f.exit(killed), { exitCode: 137 });
  t.is((await f.runner.inspect(terminated)).status, 'running');
  await until(async () => (await f.logLines(realtime)).length || undefined, 5000, 'the trap');
  await f.runner.signal(realtime, 37);
  t.like(await f.exit(realtime), { exitCode: 9 });
  await f.runner.killAll(unstarted);
  t.like(await f.exit(unstarted), { exitCode: 137 });
  await f.runner.signal(outside, 15);
  t.like(await f.exit(outside), { exitCode: 143 });
  t.is(f.exits.length, 5);
});

test('stdout and stderr come apart in the CRI log, bytes as they were, long lines in parts', async (t) => {
  const f = await RunnerFixture.make(t);
  const long = 'x'.repeat(20_000);
  await writeFile(join(f.folder, 'rootfs/long'), `${long}\n`);
  const binary = Buffer.from(Array.from({ length: 1024 }, (_, at) => at % 256));
  await writeFile(join(f.folder, 'rootfs/binary'), binary);
  const id = await f.shell('echo out; echo err >/dev/stderr; cat /long; cat /binary >&2; echo -n end');
  await f.exit(id);
  const lines = await f.logLines(id);
  t.is(outputOf(lines, 'stdout').toString(), `out\n${long}\nend`);
  t.deepEqual(outputOf(lines, 'stderr'), Buffer.concat([Buffer.from('err\n'), binary]));
  t.true(
    lines.some(({ tag, content }) => tag === 'P' && content.length === 8192),
    "cut at conmon's buffer",
  );
  t.is(lines.at(-1)?.tag, 'P', 'a last line without a line break is partial');
});

test('100 MB of lines written as fast as possible are all there, in order', async (t) => {
  const f = await RunnerFixture.make(t);
  const tail = 'y'.repeat(92);
  const lines = Array.from({ length: 1_000_000 }, (_, at) => `${String(at).padStart(7, '0')}${tail}\n`);
  const written = Buffer.from(lines.join(''));
  await writeFile(join(f.folder, 'rootfs/lines'), written);
  const id = await f.run(['cat', '/lines']);
  t.like(await f.exit(id, 100_000), { exitCode: 0 });
  const logged = outputOf(await f.logLines(id), 'stdout');
  t.is(logged.length, 100_000_000);
  t.true(logged.equals(written));
});

test('Rotating the log under load neither loses nor doubles a line', async (t) => {
  const f = await RunnerFixture.make(t);
  const id = await f.shell(
    'i=0; while [ $i -lt 100 ]; do seq $((i * 1000 + 1)) $((i * 1000 + 1000)); usleep 10000; i=$((i + 1)); done',
  );
  const rotated: string[] = [];
  for (let turn = 0; turn < 20; turn += 1) {
    await sleep(40);
    const name = `${f.log(id)}.${String(turn)}`;
    await rename(f.log(id), name);
    rotated.push(name);
    await f.runner.reopenLog(id);
  }
  const before = await stat(f.log(id));
  await f.runner.reopenLog(id);
  t.is((await stat(f.log(id))).ino, before.ino, 'nothing was renamed, so nothing is replaced');
  t.like(await f.exit(id), { exitCode: 0 });
  const texts = await Promise.all([...rotated, f.log(id)].map((name) => readFile(name)));
  const lines = texts.map((text) => parseLog(text));
  t.true(lines.filter((part) => part.length > 0).length > 10);
  const expected = Array.from({ length: 100_000 }, (_, at) => `${String(at + 1)}\n`).join('');
  t.is(outputOf(lines.flat(), 'stdout').toString(), expected);
  await rename(f.log(id), `${f.log(id)}.last`);
  await t.throwsAsync(f.runner.reopenLog(id), { instanceOf: CriError, code: StatusCode.FAILED_PRECONDITION });
  await writeFile(f.log(id), 'foreign');
  await t.throwsAsync(f.runner.reopenLog(id), { instanceOf: CriError, code: StatusCode.FAILED_PRECONDITION });
  t.is(await readFile(f.log(id), 'utf8'), 'foreign');
});

test('To reopen the log of a container that ends meanwhile is refused', async (t) => {
  const f = await RunnerFixture.make(t);
  const id = await f.shell(IDLE);
  const record = join(f.folder, 'state/containers', id, 'runner.json');
  const { monitor } = JSON.parse(await readFile(record, 'utf8')) as { monitor: { pid: number } };
  process.kill(monitor.pid, 'SIGSTOP');
  await rename(f.log(id), `${f.log(id)}.1`);
  const reopening = t.throwsAsync(f.runner.reopenLog(id), { code: StatusCode.FAILED_PRECONDITION } as object);
  await sleep(200);
  process.kill(monitor.pid, 'SIGKILL');
  await reopening;
});

test('A container without a log runs as well, and one with a terminal has one', async (t) => {
  const f = await RunnerFixture.make(t);
  const silent = await f.shell('echo x; exit 4', { log: false });
  t.like(await f.exit(silent), { exitCode: 4 });
  await f.runner.reopenLog(silent);
  const terminal = await f.shell('[ -t 0 ] && [ -t 1 ] && echo tty; exit 5', { terminal: true, stdin: true });
  t.like(await f.exit(terminal), { exitCode: 5 });
  t.is(outputOf(await f.logLines(terminal), 'stdout').toString(), 'tty\r\n');
  t.deepEqual(await readdir(join(f.folder, 'state/tmp')), []);
});

test('Standard input is the null device unless asked for', async (t) => {
  const f = await RunnerFixture.make(t);
  const closed = await f.shell('readlink /proc/self/fd/0; exec cat');
  t.like(await f.exit(closed), { exitCode: 0 });
  t.is(outputOf(await f.logLines(closed), 'stdout').toString(), '/dev/null\n');
  const open = await f.shell('exec cat', { stdin: true, stdinOnce: true });
  await sleep(100);
  t.is((await f.runner.inspect(open)).status, 'running');
  t.true((await stat(join(f.bundle(open), 'attach'))).isSocket());
});

test("What cannot be created leaves nothing and says why in the runtime's words", async (t) => {
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
  t.deepEqual((await readdir(f.folder)).sort(), ['rootfs', 'state']);
  for (const name of ['containers', 'exits', 'runtime', 'tmp'])
    t.deepEqual(await readdir(join(f.folder, 'state', name)), []);
  t.deepEqual(await processesWith(f.folder), []);
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

test("exec gives code and output, and tells its own failures from the command's", async (t) => {
  const f = await RunnerFixture.make(t);
  const id = await f.create(['sh', '-c', IDLE]);
  await t.throwsAsync(f.exec(id, 'true'), { instanceOf: CriError, code: StatusCode.FAILED_PRECONDITION });
  await f.runner.start(id);
  const both = await f.exec(id, 'echo out >/dev/stdout; echo err >/dev/stderr; exit 3');
  t.deepEqual([both.exitCode, both.stdout.toString(), both.stderr.toString()], [3, 'out\n', 'err\n']);
  t.like(await f.exec(id, 'kill -9 $$'), { exitCode: 137 });
  t.like(await f.exec(id, 'exit 255'), { exitCode: 255 }, 'the code crun has for its own failures');
  const much = await f.exec(id, 'yes | head -c 20000000; echo rest >&2', 0, 16_777_216);
  t.deepEqual([much.exitCode, much.stdout.length, much.stderr.toString()], [0, 16_777_216, 'rest\n']);
  t.is((await f.exec(id, 'cat; readlink /proc/self/fd/0')).stdout.toString(), '/dev/null\n');
  for (const args of [['nosuch'], ['/proc']]) {
    const failed = f.runner.exec(id, f.process(...args), { timeoutMs: 0, maxOutputBytes: 100 });
    await t.throwsAsync(failed, { instanceOf: CriError, code: StatusCode.UNKNOWN }, args.join(' '));
  }
  const lost = f.runner.exec(id, { ...f.process('true'), cwd: '/nowhere' }, { timeoutMs: 0, maxOutputBytes: 100 });
  await t.throwsAsync(lost, { message: /nowhere/ });
  const held = await f.exec(id, 'usleep 100000000 & echo done');
  t.is(held.stdout.toString(), 'done\n', 'a background process holds the output open, yet exec returns');
  t.deepEqual(
    (await readdir(f.bundle(id))).filter((name) => name.startsWith('exec-')),
    [],
  );
  await f.runner.killAll(id);
  await t.throwsAsync(f.exec(id, 'true'), { instanceOf: CriError, code: StatusCode.FAILED_PRECONDITION });
});

test('An exec that takes too long is dead afterwards, and all it started with it', async (t) => {
  const f = await RunnerFixture.make(t);
  const id = await f.shell(IDLE);
  const script = 'sleep 1000 & setsid sleep 1000 & (sleep 1000 & sleep 1000); sleep 1000';
  await t.throwsAsync(f.exec(id, script, 300), { instanceOf: CriError, code: StatusCode.DEADLINE_EXCEEDED });
  const left = async () => (await f.exec(id, 'pgrep -x sleep')).stdout.toString();
  await until(async () => (await left()) === '' || undefined, 2000, 'the end of all sleeps');
  const abort = new AbortController();
  const options = { timeoutMs: 0, maxOutputBytes: 100, signal: abort.signal };
  const given = f.runner.exec(id, f.process('sleep', '1000'), options);
  setTimeout(() => {
    abort.abort();
  }, 200);
  await t.throwsAsync(given, { instanceOf: CriError, code: StatusCode.CANCELLED });
  await t.throwsAsync(f.runner.exec(id, f.process('true'), options), { code: StatusCode.CANCELLED });
  await until(async () => (await left()) === '' || undefined, 2000, 'the end of the sleep');
  t.is((await f.runner.inspect(id)).status, 'running');
});

test('Running out of memory is told, limits change while running, usage is counted', async (t) => {
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

test('A runner that starts anew sees what runs and what ended meanwhile, with true code and time', async (t) => {
  const f = await RunnerFixture.make(t);
  const [created, running, ending] = [
    await f.create(['true']),
    await f.shell(IDLE),
    await f.shell('usleep 500000; exit 42'),
  ];
  f.runner.close();
  await sleep(1000);
  const endedBefore = BigInt(Date.now()) * 1_000_000n;
  f.runner = f.newRunner();
  f.runner.onExit((exit) => f.exits.push(exit));
  t.deepEqual(await f.runner.list(), [created, running, ending].sort());
  t.is((await f.runner.inspect(created)).status, 'created');
  t.is((await f.runner.inspect(running)).status, 'running');
  const state = await f.runner.inspect(ending);
  t.like(state, { status: 'stopped', exit: { exitCode: 42, oomKilled: false } });
  t.true(state.status === 'stopped' && state.exit !== undefined && state.exit.finishedAt < endedBefore);
  await f.runner.start(created);
  t.like(await f.exit(created), { exitCode: 0 });
  await f.runner.killAll(running);
  t.like(await f.exit(running), { exitCode: 137 });
  t.is((await f.exec(await f.shell(IDLE), 'echo still')).stdout.toString(), 'still\n');
  t.is(f.exits.filter((exit) => exit.id === ending).length, 0, 'it did not end from then on');
});

test('conmon lives in a cgroup and a session of its own, without descriptors and environment of this process', async (t) => {
  const f = await RunnerFixture.make(t);
  const marker = await open(join(f.folder, 'marker'), 'w');
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
  const targets = await Promise.all((await readdir(`${proc}/fd`)).map((fd) => readlink(`${proc}/fd/${fd}`)));
  t.true(targets.includes(f.log(id)));
  t.false(targets.includes(join(f.folder, 'marker')));
});

test('A container survives the death of the server that made it, and its end is seen by the next one', async (t) => {
  const f = await RunnerFixture.make(t);
  const first = await f.shell(IDLE);
  const spec = f.spec('0'.repeat(64), ['sh', '-c', 'usleep 700000; echo late; exit 21']);
  const script = join(f.folder, 'server.ts');
  await writeFile(script, serverScript(f, spec));
  const id = await new Promise<string>((resolve, reject) => {
    const server = spawn(process.execPath, [script], { stdio: ['ignore', 'pipe', 'inherit'], detached: true });
    server.on('error', reject);
    server.stdout.once('data', (chunk: Buffer) => {
      process.kill(-(server.pid ?? 0), 'SIGKILL');
      resolve(chunk.toString().trim());
    });
  });
  t.is((await f.runner.inspect(id)).status, 'running');
  t.like(await f.exit(id), { exitCode: 21 });
  t.is(outputOf(await f.logLines(id), 'stdout').toString(), 'late\n');
  t.is((await f.runner.inspect(first)).status, 'running');
});

test('A server killed at any moment of a create leaves nothing that remove cannot remove', async (t) => {
  const f = await RunnerFixture.make(t);
  const script = join(f.folder, 'server.ts');
  await writeFile(script, serverScript(f, f.spec('0'.repeat(64), ['sh', '-c', IDLE])));
  const phases = new Set<string>();
  for (let delay = 0; delay < 60; delay += 3) {
    const server = spawn(process.execPath, [script], { stdio: ['ignore', 'ignore', 'inherit'] });
    const ended = new Promise((resolve) => server.on('exit', resolve));
    await until(async () => (await f.runner.list())[0], 20_000, 'a bundle');
    await sleep(delay);
    server.kill('SIGKILL');
    await ended;
    for (const id of await f.runner.list()) {
      phases.add((await f.runner.inspect(id)).status);
      await f.runner.remove(id);
      t.deepEqual(await f.cgroups(id), []);
      await rm(f.log(id), { force: true });
    }
    t.deepEqual(await processesWith(`${f.folder}/state`), []);
  }
  t.true(phases.has('absent') && phases.size > 1, [...phases].join(' '));
  for (const name of ['containers', 'exits', 'runtime']) t.deepEqual(await readdir(join(f.folder, 'state', name)), []);
});

test('A container whose conmon was killed is still there, can be ended, and ends with an unknown code', async (t) => {
  const f = await RunnerFixture.make(t);
  const id = await f.shell(IDLE);
  process.kill(await f.monitor(id), 'SIGKILL');
  await sleep(50);
  t.is((await f.runner.inspect(id)).status, 'running');
  t.is((await f.exec(id, 'echo x')).stdout.toString(), 'x\n');
  await t.throwsAsync(
    rename(f.log(id), `${f.log(id)}.1`).then(() => f.runner.reopenLog(id)),
    { code: StatusCode.FAILED_PRECONDITION },
  );
  await f.runner.killAll(id);
  t.deepEqual(await f.runner.inspect(id), { status: 'stopped', exit: undefined });
  t.like(await f.exit(id), { exitCode: 255 });
  await f.runner.remove(id);
  const other = await f.shell(IDLE);
  process.kill(await f.monitor(other), 'SIGKILL');
  await f.runner.remove(other);
  t.deepEqual(await f.runner.list(), []);
  t.deepEqual(await processesWith(f.folder), []);
});

test('Half-created containers are removed, whatever there is of them', async (t) => {
  const f = await RunnerFixture.make(t);
  const ids = await Promise.all([f.create(['true']), f.shell(IDLE), f.shell(`${IDLE} & ${IDLE}`)]);
  const [unstarted, running, noConfig] = ids;
  for (const id of [unstarted, running]) await rm(join(f.bundle(id), 'runner.json'));
  await rm(join(f.bundle(running), 'conmon.pid'));
  await rm(join(f.bundle(noConfig), 'config.json'));
  t.deepEqual(await f.runner.inspect(unstarted), { status: 'absent' });
  for (const id of ids) {
    await f.runner.remove(id);
    t.deepEqual(await f.cgroups(id), []);
  }
  t.deepEqual(await f.runner.list(), []);
  t.deepEqual(await processesWith(f.folder), []);
});

test('killAll ends what outlives the first process when the PID namespace is shared', async (t) => {
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

test('Eight times twenty-four containers, made and removed in parallel, leave nothing', async (t) => {
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
    t.deepEqual(await readdir(join(f.folder, 'state', name)), []);
  t.deepEqual(await processesWith(f.folder), []);
  t.is(await readFile('/proc/self/mountinfo', 'utf8'), mounts);
});

/** A program that creates and starts one container, says its id, and waits to be killed. */
function serverScript(f: RunnerFixture, spec: OciSpec): string {
  const source = new URL('../../src/', import.meta.url).href;
  return `
    import { randomBytes } from 'node:crypto';
    import { ConmonRunner } from '${source}backends/runner/conmon-runner.ts';
    import { systemClock } from '${source}utils/time/system-clock.ts';
    const logger = { debug() {}, info() {}, warn() {}, error() {}, with: () => logger };
    const options = { stateDir: '${f.folder}/state', ociRuntime: 'crun', conmon: 'conmon', execDrainMs: 100 };
    const runner = new ConmonRunner({ ...options, logger, clock: systemClock });
    const id = randomBytes(32).toString('hex');
    const spec = JSON.parse(${JSON.stringify(JSON.stringify(spec))}.replaceAll('${'0'.repeat(64)}', id));
    const placement = { namespaces: {}, cgroup: '${f.cgroup}', monitorCgroup: '${f.cgroup}-monitors' };
    await runner.create({ id, spec, placement, logPath: '${f.folder}/' + id + '.log', stdin: false, stdinOnce: false });
    await runner.start(id);
    console.log(id);
    setInterval(() => undefined, 1000);
  `;
}
