import { existsSync } from 'node:fs';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import '../../../lib/native.ts';
import { PauseProcesses } from '../../../../src/backends/crun/pause-processes.ts';
import { CriError } from '../../../../src/core/model/errors.ts';
import { run } from '../../../../src/host/processes/run.ts';
import { eventually } from '../../../lib/eventually.ts';

/** A runtime that kills the helper which started it, continues when permitted, and leaves a mark at the end. */
const RUNTIME = `#!/bin/sh
cd "\${0%/*}"
kill -9 $PPID
: >begun
until [ -e go ]; do sleep 0.05; done
: >done
`;

test('a start without its helper waits for the runtime', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'pause-'));
  t.teardown(() => rm(directory, { recursive: true }));
  const runtime = join(directory, 'runtime');
  await writeFile(runtime, RUNTIME);
  await chmod(runtime, 0o755);
  let isSettled = false;
  const bundle = { rootfs: directory, init: '/init', cgroup: '/pod/pause', namespaces: {}, ids: undefined };
  const start = new PauseProcesses(runtime, directory).start('id', directory, bundle).finally(() => (isSettled = true));
  start.catch(() => undefined);
  await eventually('the runtime', () => Promise.resolve(existsSync(join(directory, 'begun'))));
  const another = () =>
    run('true', []).then(
      () => true,
      () => false,
    );
  await eventually('another helper', another);
  t.false(isSettled);
  await writeFile(join(directory, 'go'), '');
  await t.throwsAsync(start, { instanceOf: CriError, message: /native helper exited/ });
  t.true(existsSync(join(directory, 'done')));
});
