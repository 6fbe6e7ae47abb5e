import test from 'ava';
import '../../../lib/native.ts';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { separateCommands } from '../../../../src/host/processes/helpers.ts';
import { CommandError, run } from '../../../../src/host/processes/run.ts';
import { eventually } from '../../../lib/eventually.ts';
import { stateOf } from '../../../lib/processes.ts';

const never = () => {
  throw new Error('nothing had to be killed');
};

test("an earlier server's commands are awaited, then killed", async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'commands-'));
  t.teardown(() => rm(directory, { recursive: true }));
  const { fifo } = await separateCommands(directory, 0, never);
  const hanging = run('sh', ['-c', `: >"${directory}.begun"; exec sleep infinity`], { holds: { fifo } });
  hanging.catch(() => undefined);
  t.teardown(() => rm(`${directory}.begun`, { force: true }));
  await eventually('the command', async () => (await readdir(tmpdir())).includes(`${basename(directory)}.begun`));
  const killed: number[] = [];
  const next = await separateCommands(directory, 100, (pids) => void killed.push(...pids));
  t.deepEqual((await readdir(directory)).length, 2);
  await next.earlierEnded;
  t.is(killed.length, 1);
  t.true(['', 'Z', 'X'].includes(await stateOf(killed[0] ?? 0)), 'it has ended');
  const error = await t.throwsAsync(hanging, { instanceOf: CommandError });
  t.is(error?.signal, 'SIGKILL');
  t.deepEqual(await readdir(directory), [basename(next.fifo)]);
});

test('a command keeps open the FIFO it is given, or none', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'commands-'));
  t.teardown(() => rm(directory, { recursive: true }));
  const { fifo } = await separateCommands(directory, 0, never);
  const { stdout } = await run('readlink', ['/proc/self/fd/3'], { holds: { fifo } });
  t.is(stdout, `${fifo}\n`);
  await t.throwsAsync(run('test', ['-e', '/proc/self/fd/3'], { holds: 'nothing' }), { instanceOf: CommandError });
});
