import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import test from 'ava';
import { execStream } from '../../../../src/backends/conmon/exec/exec-stream.ts';
import { execCommand } from '../../../../src/backends/conmon/exec/exec.ts';
import { CriError, StatusCode } from '../../../../src/core/model/errors.ts';

const PROCESS = {
  terminal: false,
  user: { uid: 0, gid: 0 },
  args: ['true'],
  env: [],
  cwd: '/',
  noNewPrivileges: true,
};

for (const score of [undefined, 0, 500]) {
  test(`a runtime that has gone is told, and is not the exit code of a command: score ${String(score)}`, async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'exec-'));
    t.teardown(() => rm(folder, { recursive: true, force: true }));
    const process = { ...PROCESS, ...(score !== undefined && { oomScoreAdj: score }) };
    const target = { runtime: '/no/such/crun', runtimeRoot: folder, id: 'c', process, folder, drainMs: 100 };
    const refusal = { instanceOf: CriError, code: StatusCode.UNKNOWN, message: /\/no\/such\/crun/ } as object;
    await t.throwsAsync(execCommand({ ...target, timeoutMs: 0, maxOutputBytes: 100 }), refusal);
    const io = { stdin: undefined, stdout: new PassThrough(), stderr: undefined, resizes: undefined };
    const { signal } = new AbortController();
    await t.throwsAsync(execStream({ ...target, io, signal }), refusal);
    await t.throwsAsync(execStream({ ...target, process: { ...process, terminal: true }, io, signal }), refusal);
    t.deepEqual(await readdir(folder), []);
  });
}
