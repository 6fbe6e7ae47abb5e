import test from 'ava';
import '../../../lib/native.ts';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CriError } from '../../../../src/core/model/errors.ts';
import { native } from '../../../../src/host/native/helper.ts';
import { run } from '../../../../src/host/processes/run.ts';
import { HANG_MS, eventually } from '../../../lib/eventually.ts';

/** A command that reports its place, continues when permitted, and leaves a mark at the end. */
const SCRIPT = 'echo $$ >"$0/pid"; : >"$0/begun"; until [ -e "$0/go" ]; do sleep 0.05; done; : >"$0/done"';

/** Holds the event loop until the condition is met. */
function block(isMet: () => boolean): void {
  const place = new Int32Array(new SharedArrayBuffer(4));
  for (const begin = performance.now(); !isMet(); Atomics.wait(place, 0, 0, 20)) {
    if (performance.now() - begin > HANG_MS) throw new Error(`not so after ${String(HANG_MS)} ms: ${isMet.toString()}`);
  }
}

test.serial('a command ends before its failed call returns', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'run-'));
  t.teardown(() => rm(directory, { recursive: true }));
  let isSettled = false;
  const call = run('sh', ['-c', SCRIPT, directory]).finally(() => (isSettled = true));
  call.catch(() => undefined);
  await eventually('the command', () => Promise.resolve(existsSync(join(directory, 'begun'))));
  process.kill(native.pid ?? 0, 'SIGKILL');
  await eventually('another helper', () =>
    run('true', []).then(
      () => true,
      () => false,
    ),
  );
  t.false(isSettled);
  await writeFile(join(directory, 'go'), '');
  await t.throwsAsync(call, { instanceOf: CriError, message: /native helper exited/ });
  t.true(existsSync(join(directory, 'done')));
});

test.serial('only what a dead helper has not begun is repeated', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'run-'));
  t.teardown(() => rm(directory, { recursive: true }));
  await run('true', []);
  const helper = native.pid ?? 0;
  let isSettled = false;
  const call = run('sh', ['-c', SCRIPT, directory]).finally(() => (isSettled = true));
  call.catch(() => undefined);
  // Nothing that the helper says is read until the next request finds it dead.
  block(() => existsSync(join(directory, 'begun')));
  process.kill(helper, 'SIGKILL');
  block(() => /^State:\tZ/m.test(readFileSync(`/proc/${String(helper)}/status`, 'utf8')));
  // Repeated by another helper, since it has not begun.
  await run('sh', ['-c', 'echo here >>"$0/lines"', directory]);
  t.is(await readFile(join(directory, 'lines'), 'utf8'), 'here\n');
  t.false(isSettled);
  await writeFile(join(directory, 'go'), '');
  await t.throwsAsync(call, { instanceOf: CriError, message: /native helper exited/ });
  t.true(existsSync(join(directory, 'done')));
});

test.serial('a timeout kills a command without its helper', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'run-'));
  t.teardown(() => rm(directory, { recursive: true }));
  const call = run('sh', ['-c', SCRIPT, directory], { timeoutMs: 1000 });
  call.catch(() => undefined);
  await eventually('the command', () => Promise.resolve(existsSync(join(directory, 'begun'))));
  const pid = Number(await readFile(join(directory, 'pid'), 'utf8'));
  process.kill(native.pid ?? 0, 'SIGKILL');
  await t.throwsAsync(call);
  await eventually('its end', () => Promise.resolve(!existsSync(`/proc/${String(pid)}`)));
  t.false(existsSync(join(directory, 'done')));
});

test.serial('output above the limit is read and dropped', async (t) => {
  const { stdout } = await run('head', ['-c', '3000000', '/dev/zero']);
  t.is(stdout.length, 1_048_576);
});

test.serial("a failed command's words may have a million spaces", async (t) => {
  const call = run('sh', ['-c', 'printf "a%1000000sb" "" >&2; exit 1']);
  await t.throwsAsync(call, { message: 'sh exited with code 1: b' });
});
