import { existsSync } from 'node:fs';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import anyTest from 'ava';
import { StatusCode } from '../../src/core/model/errors.ts';
import { readCgroupFile } from '../../src/host/cgroup/files.ts';
import { setFrozen } from '../../src/host/cgroup/freezer.ts';
import { eventually } from '../lib/eventually.ts';
import { writeScript } from '../lib/script.ts';
import { IDLE, RunnerFixture, testCgroup } from './runner-fixture.ts';

const test = testCgroup === undefined ? anyTest.serial.skip : anyTest.serial;

/** Whether the kernel says that no process of a container runs. */
async function isFrozen(f: RunnerFixture, id: string): Promise<boolean> {
  return (await f.cgroups(id)).some((directory) => {
    const events = readCgroupFile(`${directory}/cgroup.events`) ?? '';
    return readCgroupFile(`${directory}/freezer.state`)?.trim() === 'FROZEN' || events.includes('frozen 1');
  });
}

test('A pause lasts until it is resumed, also by a later runner', async (t) => {
  const f = await RunnerFixture.make(t);
  const id = await f.shell(IDLE);
  t.false(await f.runner.resume(id));
  await f.runner.pause(id);
  t.true(await isFrozen(f, id));
  const waiting = f.exec(id, 'echo ran');
  await f.runner.resume(id);
  t.is((await waiting).stdout.toString(), 'ran\n');

  await f.runner.pause(id);
  f.runner.close();
  f.runner = f.newRunner();
  f.runner.onExit((exit) => f.exits.push(exit));
  t.true(await f.runner.resume(id));
  t.false(await isFrozen(f, id));
  t.is((await f.exec(id, 'echo ran')).stdout.toString(), 'ran\n');

  await f.runner.pause(id);
  await f.runner.killAll(id);
  t.is((await f.exit(id)).exitCode, 137);
  await f.runner.resume(id);
});

test('An exec that a pause meets is run after it', async (t) => {
  const f = await RunnerFixture.make(t);
  const [met, go] = [join(f.directory, 'met'), join(f.directory, 'go')];
  const runtime = join(f.directory, 'crun');
  await writeScript(
    runtime,
    `case "$*" in *' exec '*) if ! [ -e ${met} ]; then : >${met}; until [ -e ${go} ]; do sleep 0.02; done; fi ;; esac\nexec crun "$@"`,
  );
  f.runner = f.newRunner(runtime);
  const id = await f.shell(IDLE);
  const answer = f.exec(id, 'echo ran');
  await eventually('the exec', () => Promise.resolve(existsSync(met)));
  await f.runner.pause(id);
  await writeFile(go, '');
  const execs = async () => (await readdir(f.bundle(id))).filter((name) => name.startsWith('exec-'));
  await eventually('the refusal of the runtime', async () => (await execs()).length === 0);
  await f.runner.resume(id);
  t.is((await answer).stdout.toString(), 'ran\n');
});

test('A container that others have frozen is left to them', async (t) => {
  const f = await RunnerFixture.make(t);
  const id = await f.shell(IDLE);
  const cgroups = await f.cgroups(id);
  await setFrozen(cgroups, true);
  await eventually('the freezer', () => isFrozen(f, id));
  await t.throwsAsync(f.runner.pause(id), { code: StatusCode.FAILED_PRECONDITION, message: /frozen by others/ });
  await f.runner.resume(id);
  t.true(await isFrozen(f, id));
  await t.throwsAsync(f.exec(id, 'true'), { code: StatusCode.UNKNOWN, message: /paused/ });
  await setFrozen(cgroups, false);
});
