import { chmod, mkdir, mkdtemp, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import fc from 'fast-check';
import { conmonArguments } from '../../../../src/backends/conmon/monitor/conmon-arguments.ts';
import { parseExitCode, readExitFile } from '../../../../src/backends/conmon/exits/exits.ts';
import { RunnerPaths, isContainerId } from '../../../../src/backends/conmon/paths.ts';
import { isAlive, parseProcessStat, readProcess, sendSignal } from '../../../../src/host/processes/process-table.ts';
import { findProgram } from '../../../../src/host/processes/programs.ts';
import { readDraft, readRecord, writeRecord } from '../../../../src/backends/conmon/record.ts';
import {
  parseRuntimeErrors,
  parseVersion,
  readRuntimeErrors,
} from '../../../../src/backends/conmon/runtime-command.ts';
import { membersOf } from '../../../../src/backends/conmon/exec/session-kill.ts';
import { lastTags } from '../../../../src/backends/conmon/monitor/log-end.ts';
import { parseSyncMessage } from '../../../../src/backends/conmon/monitor/sync-message.ts';
import { CriError, StatusCode } from '../../../../src/core/model/errors.ts';

const ID = 'a'.repeat(64);

test('No option of conmon can be read as another', (t) => {
  const paths = new RunnerPaths('/state');
  const plain = {
    id: ID,
    runtime: '/usr/bin/crun',
    native: '/usr/lib/lxcri-native',
    terminal: false,
    logPath: '/l/x.log',
    stdin: false,
    inputOnce: false,
  };
  const args = conmonArguments(paths, plain);
  t.is(args[args.indexOf('--log-path') + 1], 'k8s-file:/l/x.log');
  t.is(args[args.indexOf('--runtime') + 1], '/usr/lib/lxcri-native');
  const words = args.filter((_, at) => args[at - 1] === '--runtime-arg');
  t.deepEqual(words.slice(0, 3), ['enter', '/usr/bin/crun', '--root=/state/runtime']);
  t.is(args[args.indexOf('--bundle') + 1], `/state/containers/${ID}`);
  t.false(args.includes('--terminal') || args.includes('--stdin') || args.includes('--leave-stdin-open'));
  t.true(conmonArguments(paths, { ...plain, stdin: true }).includes('--leave-stdin-open'));
  t.false(conmonArguments(paths, { ...plain, stdin: true, inputOnce: true }).includes('--leave-stdin-open'));
  t.true(conmonArguments(paths, { ...plain, terminal: true }).includes('--terminal'));
  t.true(conmonArguments(paths, { ...plain, logPath: undefined }).includes('none'));
  for (const logPath of ['relative', '/a:b', '/a\nb']) {
    const error = t.throws(() => conmonArguments(paths, { ...plain, logPath }), { instanceOf: CriError });
    t.is(error?.code, StatusCode.INVALID_ARGUMENT);
  }
});

test('Container ids are 64 lower-case hexadecimal digits', (t) => {
  t.true(isContainerId(ID));
  for (const other of ['', 'a'.repeat(63), 'A'.repeat(64), `${ID}\n`, `../${'a'.repeat(61)}`])
    t.false(isContainerId(other));
});

test('A sync message has a pid or an error', (t) => {
  t.deepEqual(parseSyncMessage('{"data": 12}\n'), { pid: 12 });
  t.deepEqual(parseSyncMessage('{"pid": 12}\n'), { pid: 12 });
  t.deepEqual(parseSyncMessage('{"data": -1, "message": "a \\"b\\"\\n"}\n'), { error: 'a "b"' });
  t.deepEqual(parseSyncMessage(''), { error: '' });
  t.deepEqual(parseSyncMessage('{"data": 1.5}'), { error: '' });
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
      const message = parseSyncMessage(text);
      return 'pid' in message ? message.pid > 0 : typeof message.error === 'string';
    }),
    { numRuns: 2000 },
  );
});

test("Only errors are taken from the runtime's log", async (t) => {
  const log =
    '{"msg":"w","level":"warning"}\nrubbish\n{"msg":"first ","level":"error"}\n{"msg":"second","level":"error"}\n';
  t.is(parseRuntimeErrors(log), 'first; second');
  t.is(parseRuntimeErrors('null\n[]\n{"level":"error","msg":3}'), '');
  t.is(await readRuntimeErrors('/nonexistent/log'), '');
  fc.assert(
    fc.property(fc.string(), (text) => typeof parseRuntimeErrors(text) === 'string'),
    { numRuns: 2000 },
  );
});

test('The version of crun and runc is parsed', (t) => {
  t.deepEqual(parseVersion('crun version 1.8.1\ncommit: f8a\n'), { name: 'crun', version: '1.8.1' });
  t.deepEqual(parseVersion('runc version 1.1.5+ds1\n'), { name: 'runc', version: '1.1.5+ds1' });
  t.throws(() => parseVersion('busybox'), { message: /not the output of an OCI runtime/ });
});

test('Exit files contain a code from 0 to 255', async (t) => {
  t.deepEqual(
    ['0', '7\n', '137', '255', '-1', '256', '', 'x', '1e2'].map(parseExitCode),
    [0, 7, 137, 255, 255, 255, 255, 255, 255],
  );
  fc.assert(
    fc.property(fc.string(), (text) => {
      const code = parseExitCode(text);
      return Number.isInteger(code) && code >= 0 && code <= 255;
    }),
    { numRuns: 2000 },
  );
  const directory = await mkdtemp(join(tmpdir(), 'exits-'));
  t.teardown(() => rm(directory, { recursive: true }));
  t.is(readExitFile(join(directory, 'none')), undefined);
  await writeFile(join(directory, 'one'), '3');
  await utimes(join(directory, 'one'), 1_700_000_000.5, 1_700_000_000.5);
  t.deepEqual(readExitFile(join(directory, 'one')), { exitCode: 3, finishedAt: 1_700_000_000_500_000_000n });
});

test('/proc/<pid>/stat is parsed with any command name', async (t) => {
  const rest = 'S 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 4711 23 24';
  const expected = { pid: 9, state: 'S', parent: 2, session: 4, startTime: 20 };
  for (const name of ['sh', 'a b', ') R 1 (', 'x)\ny'])
    t.deepEqual(parseProcessStat(`9 (${name}) ${rest}\n`), expected, name);
  for (const bad of ['', '9 (sh)', '9 (sh) S', '9 (sh) S 1 2 x']) t.is(parseProcessStat(bad), undefined, bad);
  fc.assert(
    fc.property(fc.string(), (name) => parseProcessStat(`9 (${name}) ${rest}`)?.startTime === 20),
    { numRuns: 2000 },
  );
  const self = readProcess(process.pid);
  t.like(self, { pid: process.pid, parent: process.ppid });
  t.true(isAlive({ pid: process.pid, startTime: self?.startTime ?? -1 }));
  t.false(isAlive({ pid: process.pid, startTime: 0 }), 'another process with the same pid');
  t.is(readProcess(2 ** 22 + 1), undefined);
  t.notThrows(() => {
    sendSignal(2 ** 22 + 1, 9);
  });
});

test('A session includes its members, descendants and their sessions', (t) => {
  const stat = (pid: number, parent: number, session: number) => ({ pid, parent, session, state: 'S', startTime: pid });
  const table = [
    stat(1, 0, 1), // the container's init
    stat(10, 5, 10), // the session's leader
    stat(11, 10, 10),
    stat(12, 1, 10), // lost its parent, kept the session
    stat(13, 11, 13), // leads a session of its own
    stat(14, 1, 13), // an orphan in that one
    stat(15, 14, 15),
    stat(20, 1, 20), // known from an earlier look
    stat(21, 1, 21),
  ];
  const known = new Map([
    [20, { startTime: 20 }],
    [21, { startTime: 99 }],
  ]);
  const pids = membersOf(10, known, table).map(({ pid }) => pid);
  t.deepEqual(
    pids.sort((a, b) => a - b),
    [10, 11, 12, 13, 14, 15, 20],
  );
});

test("The runner's record round-trips; a damaged one is lost", async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'record-'));
  t.teardown(() => rm(directory, { recursive: true }));
  const path = join(directory, 'runner.json');
  t.is(readRecord(path), undefined);
  t.is(readRecord(join(path, 'below')), undefined);
  const refs = { container: { pid: 5, startTime: 0 }, monitor: { pid: 4, startTime: 77 } };
  for (const logPath of [undefined, '/l']) {
    const record = { version: 1 as const, ...refs, cgroup: '/pod/x', ...(logPath !== undefined && { logPath }) };
    writeRecord(path, record);
    t.deepEqual(readRecord(path), record);
  }
  for (const damaged of ['', '{', 'null', '{"version":1}']) {
    await writeFile(path, damaged);
    t.is(readRecord(path), undefined);
    t.is(readDraft(path), undefined);
  }
  const draft = { version: 1 as const, cgroup: '/pod/x', monitorCgroup: '/monitors' };
  writeRecord(path, draft);
  t.is(readRecord(path), undefined, 'its creation was cut off');
  t.deepEqual(readDraft(path), draft);
});

test('The last tag of each stream is found', (t) => {
  const time = '2026-01-02T03:04:05.000000006+00:00';
  t.deepEqual(lastTags(`d\n${time} stdout F a\n${time} stderr P b\n${time} stdout P c\n`), {
    stdout: 'P',
    stderr: 'P',
  });
  t.deepEqual(lastTags(`${time} stdout P stderr F \n${time} stdin P x\n`), { stdout: 'P' });
  t.deepEqual(lastTags(''), {});
  fc.assert(
    fc.property(fc.string(), (text) => Object.keys(lastTags(text)).length <= 2),
    { numRuns: 1000 },
  );
});

test('Executable programs are found on PATH or by path', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'programs-'));
  t.teardown(() => rm(directory, { recursive: true }));
  const program = join(directory, 'program');
  await mkdir(join(directory, 'sub'));
  await writeFile(program, '#!/bin/sh\n', { mode: 0o644 });
  const refused = await t.throwsAsync(findProgram(program, 'runtime.conmon'), { instanceOf: CriError });
  t.is(refused?.code, StatusCode.UNAVAILABLE);
  t.regex(refused?.message ?? '', /^runtime\.conmon: /);
  await chmod(program, 0o755);
  t.is(await findProgram(program, 'x'), program);
  t.regex(await findProgram('sh', 'x'), /^\/.*\/sh$/);
  await t.throwsAsync(findProgram('no-such-program', 'x'), { instanceOf: CriError });
});
