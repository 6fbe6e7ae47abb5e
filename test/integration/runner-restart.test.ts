import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import anyTest from 'ava';
import { StatusCode } from '../../src/core/model/errors.ts';
import type { OciSpec } from '../../src/core/model/oci-runtime.ts';
import { HANG_MS, eventually } from '../lib/eventually.ts';
import { IDLE, RunnerFixture, outputOf, processesWith, testCgroup } from './runner-fixture.ts';
import { writeScript } from '../lib/script.ts';

const test = testCgroup === undefined ? anyTest.serial.skip : anyTest.serial;

test('A restarted runner finds running containers and past exits', async (t) => {
  const f = await RunnerFixture.make(t);
  const [created, running, ending] = [
    await f.create(['true']),
    await f.shell(IDLE),
    await f.shell('until [ -e /go ]; do usleep 10000; done; exit 42'),
  ];
  f.runner.close();
  await writeFile(join(f.directory, 'rootfs/go'), '');
  await eventually('the end of one', async () => (await processesWith(ending)).length === 0);
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

test('A container survives its server and reports its exit', async (t) => {
  const f = await RunnerFixture.make(t);
  const first = await f.shell(IDLE);
  const spec = f.spec('0'.repeat(64), ['sh', '-c', 'until [ -e /go ]; do usleep 10000; done; echo late; exit 21']);
  const script = join(f.directory, 'server.ts');
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
  await writeFile(join(f.directory, 'rootfs/go'), '');
  t.like(await f.exit(id), { exitCode: 21 });
  t.is(outputOf(await f.logLines(id), 'stdout').toString(), 'late\n');
  t.is((await f.runner.inspect(first)).status, 'running');
});

test('An interrupted create can always be removed', async (t) => {
  const f = await RunnerFixture.make(t);
  const script = join(f.directory, 'server.ts');
  await writeFile(script, serverScript(f, f.spec('0'.repeat(64), ['sh', '-c', IDLE])));
  const phases = new Set<string>();
  const killedAt = async (moment: () => Promise<unknown>, ...runtime: string[]) => {
    const server = spawn(process.execPath, [script, ...runtime], { stdio: ['ignore', 'ignore', 'inherit'] });
    const ended = new Promise((resolve) => server.on('exit', resolve));
    await moment();
    server.kill('SIGKILL');
    await ended;
    for (const id of await f.runner.list()) {
      phases.add((await f.runner.inspect(id)).status);
      await f.runner.remove(id);
      t.deepEqual(await f.cgroups(id), []);
      await rm(f.log(id), { force: true });
    }
    // A runtime that was just started finds that its cgroup is gone, and exits.
    await eventually(
      'the end of what it started',
      async () => (await processesWith(`${f.directory}/state`)).length === 0,
    );
  };
  // A runtime that hangs.
  const [slow, begun] = [join(f.directory, 'slow'), join(f.directory, 'begun')];
  const words = `for word; do [ "$word" != create ] || { : >${begun}; while :; do sleep 0.1; done; }; done; exec crun "$@"`;
  await writeScript(slow, words);
  await killedAt(() => eventually('the runtime', () => existsSync(begun)), slow);
  // The creation is over as soon as the container exists, however long it takes.
  for (let delay = 0; delay < 60 || (phases.size < 2 && delay < HANG_MS / 10); delay += delay < 60 ? 3 : delay) {
    await killedAt(async () => {
      await eventually('a bundle', async () => (await f.runner.list())[0]);
      await sleep(delay);
    });
  }
  t.true(phases.has('absent') && phases.size > 1, [...phases].join(' '));
  for (const name of ['containers', 'exits', 'runtime'])
    t.deepEqual(await readdir(join(f.directory, 'state', name)), []);
});

test('A container without conmon ends with an unknown code', async (t) => {
  const f = await RunnerFixture.make(t);
  const id = await f.shell(IDLE);
  process.kill(await f.monitor(id), 'SIGKILL');
  await eventually('the end of conmon', async () => (await processesWith(f.bundle(id))).length === 0);
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
  await nothingOf(f);
});

test('Incomplete and damaged containers can be removed', async (t) => {
  const f = await RunnerFixture.make(t);
  const damages: ((id: string) => Promise<void>)[] = [
    (id) => rm(join(f.bundle(id), 'runner.json')),
    (id) => writeFile(join(f.bundle(id), 'runner.json'), ''),
    async (id) => {
      await rm(join(f.bundle(id), 'runner.json'));
      await rm(join(f.bundle(id), 'conmon.pid'));
    },
    (id) => rm(join(f.bundle(id), 'config.json')),
    (id) => rm(f.bundle(id), { recursive: true }),
  ];
  for (const damage of damages) {
    const ids = await Promise.all([f.create(['true']), f.shell(IDLE), f.shell(`${IDLE} & ${IDLE}`)]);
    for (const id of ids) await damage(id);
    t.is((await f.runner.inspect(ids[0])).status, 'created');
    for (const id of ids) {
      await f.runner.remove(id);
      t.deepEqual(await f.cgroups(id), []);
      t.deepEqual(await f.runner.inspect(id), { status: 'absent' });
    }
    t.deepEqual(await f.runner.list(), []);
    await nothingOf(f);
  }
});

test('A container without its bundle can be stopped', async (t) => {
  const f = await RunnerFixture.make(t);
  const [asked, forced] = [await f.shell(`trap 'exit 4' 15; echo ready; ${IDLE}`), await f.shell(IDLE)];
  await eventually('the trap', async () => (await f.logLines(asked)).length > 0);
  for (const id of [asked, forced]) {
    await rm(f.bundle(id), { recursive: true });
    t.is((await f.runner.inspect(id)).status, 'running');
  }
  await f.runner.signal(asked, 15);
  t.like(await f.exit(asked), { exitCode: 4 });
  await f.runner.killAll(forced);
  t.like(await f.exit(forced), { exitCode: 137 });
  t.like(await f.runner.inspect(forced), { status: 'stopped', exit: { exitCode: 137 } });
});

test('A stopped conmon does not prevent removal', async (t) => {
  const f = await RunnerFixture.make(t);
  const [ended, removed] = [await f.shell(IDLE), await f.shell(IDLE)];
  for (const id of [ended, removed]) process.kill(await f.monitor(id), 'SIGSTOP');
  await f.runner.killAll(ended);
  t.like(await f.runner.inspect(ended), { status: 'stopped', exit: { exitCode: 137 } });
  t.like(await f.exit(ended), { exitCode: 137 });
  await f.runner.remove(removed);
  t.like(await f.exit(removed), { exitCode: 137 });
  await nothingOf(f);
});

/** Waits until no process has the fixture's directory among its arguments: killed processes end a moment later. */
async function nothingOf(f: RunnerFixture): Promise<void> {
  await eventually('the end of all processes', async () => (await processesWith(f.directory)).length === 0);
}

/** A program that creates and starts one container, prints its id, and waits to be killed. */
function serverScript(f: RunnerFixture, spec: OciSpec): string {
  const source = new URL('../../src/', import.meta.url).href;
  return `
    import { randomBytes } from 'node:crypto';
    import { ConmonRunner } from '${source}backends/conmon/conmon-runner.ts';
    import { systemClock } from '${source}utils/time/system-clock.ts';
    const logger = { debug() {}, info() {}, warn() {}, error() {}, with: () => logger };
    const options = { stateDir: '${f.directory}/state', ociRuntime: process.argv[2] ?? 'crun', conmon: 'conmon', execDrainMs: 100 };
    const runner = new ConmonRunner({ ...options, logger, clock: systemClock });
    const id = randomBytes(32).toString('hex');
    const spec = JSON.parse(${JSON.stringify(JSON.stringify(spec))}.replaceAll('${'0'.repeat(64)}', id));
    const placement = { namespaces: {}, cgroup: '${f.cgroup}', monitorCgroup: '${f.cgroup}-monitors' };
    await runner.create({ id, spec, placement, logPath: '${f.directory}/' + id + '.log', stdin: false, stdinOnce: false });
    await runner.start(id);
    console.log(id);
    setInterval(() => undefined, 1000);
  `;
}
