import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import '../../../lib/native.ts';
import { findNative } from '../../../../src/host/native/find.ts';
import { encodeRun } from '../../../../src/host/native/messages.ts';
import { encodeStep, type Descriptor } from '../../../../src/host/native/steps.ts';
import { eventually } from '../../../lib/eventually.ts';

/** More than the socket holds. */
const MUCH = 8_000_000;

/** A helper that cannot send any more, asked to run a program whose start is to be told; the program makes `file`. */
async function stuffed(t: ExecutionContext) {
  const directory = await mkdtemp(join(tmpdir(), 'gate-'));
  t.teardown(() => rm(directory, { recursive: true }));
  const file = join(directory, 'made');
  const helper = spawn(findNative(), ['serve'], {
    stdio: ['ignore', 'ignore', 'inherit', 'pipe', 'pipe'],
    cwd: '/',
    env: {},
  });
  t.teardown(() => helper.kill('SIGKILL'));
  const [requests, answers] = helper.stdio.slice(3) as unknown as [Socket, Socket];
  requests.on('error', () => undefined);
  const ask = (id: number, script: string, descriptors: Record<number, Descriptor>) => {
    const argv = ['/bin/sh', '-c', script];
    const step = { do: 'spawn' as const, argv, env: {}, cwd: '/', descriptors, started: () => undefined };
    requests.write(encodeRun(id, false, [encodeStep(step)]));
  };
  const children = async () =>
    (await readFile(`/proc/${helper.pid}/task/${helper.pid}/children`, 'utf8')).split(' ').filter(Boolean);
  ask(1, `/usr/bin/head -c ${MUCH} /dev/zero`, { 1: { kind: 'capture', limit: MUCH } });
  // Its start is told in some bytes, its answer fills what the socket holds.
  await eventually('an answer that is not read', () => Promise.resolve(answers.readableLength > 1000));
  t.deepEqual(await children(), []);
  ask(2, `: >${file}`, {});
  await eventually('the program, or what it makes', async () => existsSync(file) || (await children()).length > 0);
  return { helper, answers, file, children };
}

test('a program does not outlive its helper unknown', async (t) => {
  const { helper, file, children } = await stuffed(t);
  const waiting = await children();
  helper.kill('SIGKILL');
  await eventually('the end of both', () =>
    Promise.resolve([helper.pid, ...waiting].every((pid) => !existsSync(`/proc/${pid}`))),
  );
  t.false(existsSync(file));
});

test('a program begins when its start has been told', async (t) => {
  const { answers, file } = await stuffed(t);
  t.false(existsSync(file));
  answers.resume();
  await eventually('what it makes', () => Promise.resolve(existsSync(file)));
  t.pass();
});
