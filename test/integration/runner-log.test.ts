import { constants } from 'node:fs';
import { mkdir, open, readFile, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import anyTest from 'ava';
import { CriError, StatusCode } from '../../src/core/model/errors.ts';
import { eventually } from '../lib/eventually.ts';
import { IDLE, RunnerFixture, outputOf, parseLog, processesWith, testCgroup } from './runner-fixture.ts';

const test = testCgroup === undefined ? anyTest.serial.skip : anyTest.serial;

test('stdout and stderr are logged separately and unchanged', async (t) => {
  const f = await RunnerFixture.make(t);
  const long = 'x'.repeat(20_000);
  await writeFile(join(f.directory, 'rootfs/long'), `${long}\n`);
  const binary = Buffer.from(Array.from({ length: 1024 }, (_, at) => at % 256));
  await writeFile(join(f.directory, 'rootfs/binary'), binary);
  const id = await f.shell('echo out; echo err >/dev/stderr; cat /long; cat /binary >&2; echo -n end');
  await f.exit(id);
  const lines = await f.logLines(id);
  t.is(outputOf(lines, 'stdout').toString(), `out\n${long}\nend\n`);
  t.deepEqual(outputOf(lines, 'stderr'), Buffer.concat([Buffer.from('err\n'), binary, Buffer.from('\n')]));
  t.true(
    lines.some(({ tag, content }) => tag === 'P' && content.length === 8192),
    "cut at conmon's buffer",
  );
  t.deepEqual(
    lines.slice(-2).map(({ stream, tag, content }) => `${stream} ${tag} ${content.toString()}`),
    ['stdout F ', 'stderr F '],
    'a last line without a line break is closed',
  );
});

test('100 MB of fast output is logged in order', async (t) => {
  const f = await RunnerFixture.make(t);
  const tail = 'y'.repeat(92);
  const lines = Array.from({ length: 1_000_000 }, (_, at) => `${String(at).padStart(7, '0')}${tail}\n`);
  const written = Buffer.from(lines.join(''));
  await writeFile(join(f.directory, 'rootfs/lines'), written);
  const id = await f.run(['cat', '/lines']);
  t.like(await f.exit(id), { exitCode: 0 });
  const logged = outputOf(await f.logLines(id), 'stdout');
  t.is(logged.length, 100_000_000);
  t.true(logged.equals(written));
});

test('Rotating the log under load loses and duplicates nothing', async (t) => {
  const f = await RunnerFixture.make(t);
  const id = await f.shell(
    'i=0; until [ -e /stop ]; do seq $((i * 1000 + 1)) $((i * 1000 + 1000)); usleep 10000; i=$((i + 1)); done',
  );
  const rotated: string[] = [];
  for (let turn = 0; turn < 20; turn += 1) {
    await eventually('lines', async () => (await stat(f.log(id))).size > 0);
    const name = `${f.log(id)}.${String(turn)}`;
    await rename(f.log(id), name);
    rotated.push(name);
    await f.runner.reopenLog(id);
  }
  const before = await stat(f.log(id));
  await f.runner.reopenLog(id);
  t.is((await stat(f.log(id))).ino, before.ino, 'nothing was renamed, so nothing is replaced');
  await writeFile(join(f.directory, 'rootfs/stop'), '');
  t.like(await f.exit(id), { exitCode: 0 });
  const texts = await Promise.all([...rotated, f.log(id)].map((name) => readFile(name)));
  const lines = texts.map((text) => parseLog(text));
  t.true(lines.slice(0, -1).every((part) => part.length > 0));
  const logged = outputOf(lines.flat(), 'stdout').toString();
  const count = logged.split('\n').length - 1;
  t.is(count % 1000, 0, String(count));
  t.true(logged === Array.from({ length: count }, (_, at) => `${String(at + 1)}\n`).join(''), 'every line once');
  await rename(f.log(id), `${f.log(id)}.last`);
  await t.throwsAsync(f.runner.reopenLog(id), { instanceOf: CriError, code: StatusCode.FAILED_PRECONDITION });
  await writeFile(f.log(id), 'foreign');
  await t.throwsAsync(f.runner.reopenLog(id), { instanceOf: CriError, code: StatusCode.FAILED_PRECONDITION });
  t.is(await readFile(f.log(id), 'utf8'), 'foreign');
});

test('The last partial line of each stream is closed', async (t) => {
  const f = await RunnerFixture.make(t);
  const both = await f.shell('printf out; printf err >&2');
  await f.exit(both);
  const text = await readFile(f.log(both), 'utf8');
  const tags = parseLog(Buffer.from(text)).map(({ stream, tag, content }) => `${stream} ${tag} ${content.toString()}`);
  t.deepEqual(tags.toSorted(), ['stderr F ', 'stderr P err', 'stdout F ', 'stdout P out']);
  t.like(await f.runner.inspect(both), { status: 'stopped' });
  t.is(await readFile(f.log(both), 'utf8'), text);

  const rotated = await f.shell(`printf part; ${IDLE}`);
  await eventually('the part', async () => (await f.logLines(rotated)).length > 0);
  await rename(f.log(rotated), `${f.log(rotated)}.20260101-000000`);
  await f.runner.reopenLog(rotated);
  await f.runner.killAll(rotated);
  await f.exit(rotated);
  t.deepEqual(
    (await f.logLines(rotated)).map(({ stream, tag, content }) => [stream, tag, content.length]),
    [['stdout', 'F', 0]],
  );
});

test('Reopening a log recreates its directory', async (t) => {
  const f = await RunnerFixture.make(t);
  const directory = join(f.directory, 'gone');
  await mkdir(directory);
  const id = await f.shell('while read -r line; do echo "$line"; done', {
    logPath: join(directory, 'x.log'),
    stdin: true,
  });
  await rm(directory, { recursive: true });
  await f.runner.reopenLog(id);
  t.is(await readFile(join(directory, 'x.log'), 'utf8'), '');
  t.is((await f.runner.inspect(id)).status, 'running');
  t.true((await processesWith(`--cid\0${id}`)).length > 0, 'conmon lives');
});

test('Reopening the log of an exiting container is refused', async (t) => {
  const f = await RunnerFixture.make(t);
  const id = await f.shell(IDLE);
  const record = join(f.directory, 'state/containers', id, 'runner.json');
  const { monitor } = JSON.parse(await readFile(record, 'utf8')) as { monitor: { pid: number } };
  process.kill(monitor.pid, 'SIGSTOP');
  await using control = await open(join(f.bundle(id), 'ctl'), constants.O_RDONLY | constants.O_NONBLOCK);
  await rename(f.log(id), `${f.log(id)}.1`);
  const reopening = t.throwsAsync(f.runner.reopenLog(id), { code: StatusCode.FAILED_PRECONDITION } as object);
  await eventually('what it asks of conmon', async () => {
    // EAGAIN until something is written.
    const read = await control.read(Buffer.alloc(1)).catch(() => undefined);
    return (read?.bytesRead ?? 0) > 0;
  });
  process.kill(monitor.pid, 'SIGKILL');
  await reopening;
});

test('The log is optional, also with a terminal', async (t) => {
  const f = await RunnerFixture.make(t);
  const silent = await f.shell('echo x; exit 4', { log: false });
  t.like(await f.exit(silent), { exitCode: 4 });
  await f.runner.reopenLog(silent);
  const terminal = await f.shell('[ -t 0 ] && [ -t 1 ] && echo tty; exit 5', { terminal: true, stdin: true });
  t.like(await f.exit(terminal), { exitCode: 5 });
  t.is(outputOf(await f.logLines(terminal), 'stdout').toString(), 'tty\r\n');
  t.deepEqual(await readdir(join(f.directory, 'state/tmp')), []);
});
