import test from 'ava';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { formatLxcConfig } from '../../src/backends/lxc-config.ts';
import { LxcSandboxProvider } from '../../src/backends/lxc/lxc-sandbox-provider.ts';
import { CriError, StatusCode } from '../../src/core/model/errors.ts';
import { run } from '../../src/host/processes/run.ts';
import { inventory, leftovers } from './leaks.ts';
import { eventually } from '../lib/eventually.ts';
import { cgroupMounts } from '../lib/mounts.ts';
import { processesBelow } from '../lib/processes.ts';
import { behavesAsProvider, endsWhenCancelled, irrelevant } from './sandbox-behaviour.ts';
import { processesWith } from './runner-fixture.ts';
import { SandboxFixture, lxc, parentOf } from './sandbox-fixture.ts';

behavesAsProvider(test, lxc);

/** Creates cgroups as the kubelet does on v1: cpusets are copied from the parent, children do not inherit them. */
async function asKubelet(paths: readonly string[]): Promise<void> {
  for (const { target, has } of await cgroupMounts()) {
    for (const path of paths) {
      await mkdir(target + path, { recursive: true });
      if (!has('cpuset')) continue;
      for (const file of ['cpuset.cpus', 'cpuset.mems']) {
        await writeFile(`${target}${path}/${file}`, await readFile(`${target}${path}/../${file}`));
      }
      await writeFile(`${target}${path}/cgroup.clone_children`, '0');
    }
  }
}

/** Runs a liblxc command with the name and path of the pod from its verbose status. */
async function byHand(fixture: SandboxFixture, id: string, command: string, ...args: string[]): Promise<string> {
  const { lxcNetworkNamespace } = await fixture.provider.describe({ spec: await fixture.spec({ id }) });
  const lxc = [command, '-P', `${fixture.directory}/state`, '-n', id, ...args];
  return (await run('nsenter', [`--net=${String(lxcNetworkNamespace)}`, '--', ...lxc])).stdout;
}

const endings: [how: string, end: (fixture: SandboxFixture, id: string, init: number) => Promise<unknown>][] = [
  ['lxc-stop -k', (fixture, id) => byHand(fixture, id, 'lxc-stop', '-k')],
  ['lxc-stop', (fixture, id) => byHand(fixture, id, 'lxc-stop', '-t', '10')],
  ['SIGKILL to its init', async (_fixture, _id, init) => Promise.resolve(process.kill(init, 'SIGKILL'))],
  // reboot(2) in a PID namespace that is not the first ends the namespace's init, and liblxc would start it again.
  [
    'a reboot from inside',
    (_fixture, _id, init) => run('nsenter', ['-t', String(init), '-p', 'busybox', 'reboot', '-f']),
  ],
];
for (const [how, end] of endings) {
  test.serial(`containers end with a pod ended by ${how}`, async (t) => {
    const fixture = await SandboxFixture.make(t, lxc);
    const spec = await fixture.spec();
    const placement = await fixture.run(spec);
    await fixture.container(placement, 'trap "" TERM; while :; do sleep 1 & wait; done');
    const pause = `${placement.cgroup}/guest`;
    const [init] = await processesBelow(pause);
    t.true(init !== undefined);
    await end(fixture, spec.id, init ?? 0);
    await eventually('the report of its end', () => fixture.exits.includes(spec.id));
    // By the hook of the LXC container: no method of the provider was called.
    await eventually('the end of the containers', async () => (await processesBelow(placement.cgroup)).length === 0);
    await eventually('the end of its monitor', async () => (await processesWith(spec.id)).length === 0);
    t.is(await fixture.placement(spec), undefined);
    t.deepEqual(fixture.exits, [spec.id]);
    await fixture.provider.remove({ spec });
  });
}

test.serial('a pod survives its monitor and reports its end', async (t) => {
  const fixture = await SandboxFixture.make(t, lxc);
  const before = await inventory(fixture);
  const spec = await fixture.spec();
  const placement = await fixture.run(spec);
  await fixture.container(placement);
  const [init] = await processesBelow(`${placement.cgroup}/guest`);
  process.kill(await parentOf(init ?? 0), 'SIGKILL');
  t.deepEqual(await fixture.placement(spec, fixture.again()), placement);
  process.kill(init ?? 0, 'SIGKILL');
  await eventually('the report of its end', () => fixture.exits.includes(spec.id));
  await fixture.provider.stop({ spec });
  await eventually('the end of its processes', async () => (await processesBelow(placement.cgroup)).length === 0);
  await fixture.provider.remove({ spec });
  t.deepEqual(await leftovers(fixture, before, irrelevant), []);
});

test.serial('only the server starts a pod', async (t) => {
  const fixture = await SandboxFixture.make(t, lxc);
  const spec = await fixture.spec();
  const placement = await fixture.run(spec);
  const [lxcPath, log] = [`${fixture.directory}/state`, `${fixture.directory}/by-hand.log`];
  await byHand(fixture, spec.id, 'lxc-stop', '-k');
  await eventually('the report of its end', () => fixture.exits.includes(spec.id));
  await t.throwsAsync(run('lxc-start', ['-P', lxcPath, '-n', spec.id, '-o', log, '-l', 'DEBUG']));
  t.regex(await readFile(log, 'utf8'), /this container is a Kubernetes pod that has ended/);
  t.is(await fixture.placement(spec), undefined);
  await eventually('the end of its processes', async () => (await processesBelow(placement.cgroup)).length === 0);
  t.true((await fixture.run(spec)).cgroup === placement.cgroup);
});

test.serial('a cgroup parent without cgroup.clone_children works', async (t) => {
  const fixture = await SandboxFixture.make(t, lxc);
  const cgroupParent = `${fixture.cgroup}/burstable/pod2`;
  await asKubelet([fixture.cgroup, `${fixture.cgroup}/burstable`, cgroupParent]);
  const spec = await fixture.spec({ cgroupParent });
  const placement = await fixture.run(spec);
  await fixture.container(placement);
  t.is((await processesBelow(`${placement.cgroup}/guest`)).length, 1);
  for (const { target, has } of await cgroupMounts()) {
    if (!has('cpuset')) continue;
    t.is(await readFile(`${target}${cgroupParent}/cgroup.clone_children`, 'utf8'), '0\n', "the kubelet's own stay");
  }
  await fixture.provider.remove({ spec });
  t.is(await fixture.placement(spec), undefined);
});

test.serial('stop leaves conmon processes running', async (t) => {
  const fixture = await SandboxFixture.make(t, lxc);
  const spec = await fixture.spec();
  const placement = await fixture.run(spec);
  const { argvInCgroup } = await import('../lib/argv-in-cgroup.ts');
  const [command, ...args] = await argvInCgroup(placement.monitorCgroup, ['sleep', '1000']);
  const monitor = run(command, args);
  await eventually('it', async () => (await processesBelow(placement.monitorCgroup)).length === 1);
  await fixture.provider.stop({ spec });
  t.is((await processesBelow(placement.monitorCgroup)).length, 1);
  await fixture.provider.remove({ spec });
  await t.throwsAsync(monitor, { message: /SIGKILL/ });
});

test.serial('a state directory longer than a socket address works', async (t) => {
  const parent = `/tmp/${'long-'.repeat(20)}`;
  await mkdir(parent, { recursive: true });
  const fixture = await SandboxFixture.make(t, lxc, parent);
  const spec = await fixture.spec();
  await fixture.run(spec);
  t.regex(await byHand(fixture, spec.id, 'lxc-info', '-s'), /RUNNING/);
  await byHand(fixture, spec.id, 'lxc-stop', '-k');
  await eventually('the report of its end', () => fixture.exits.includes(spec.id));
  t.pass();
});

test.serial('a failed start quotes liblxc and leaves nothing', async (t) => {
  const fixture = await SandboxFixture.make(t, (lxcPath, logger) => {
    return new LxcSandboxProvider({ lxcPath, programs: `${lxcPath}/.programs`, logger, init: `${lxcPath}/../init` });
  });
  // A program that exists and cannot be executed.
  await writeFile(`${fixture.directory}/init`, 'nonsense');
  await chmod(`${fixture.directory}/init`, 0o755);
  await fixture.provider.unavailableBecause();
  const before = await inventory(fixture);
  const error = await t.throwsAsync(fixture.run(await fixture.spec()), { instanceOf: CriError });
  t.is(error?.code, StatusCode.INTERNAL);
  t.log(error?.message);
  t.deepEqual(await leftovers(fixture, before, irrelevant), []);
  t.deepEqual(await fixture.provider.list(), []);
});

test.serial('a missing lxc-start makes the handler unavailable', async (t) => {
  const fixture = await SandboxFixture.make(t, (lxcPath, logger) => {
    return new LxcSandboxProvider({
      lxcPath,
      programs: `${lxcPath}/.programs`,
      logger,
      lxcStart: '/nonexistent/lxc-start',
    });
  });
  t.regex((await fixture.provider.unavailableBecause()) ?? '', /\/nonexistent\/lxc-start/);
  const error = await t.throwsAsync(fixture.run(await fixture.spec()), { instanceOf: CriError });
  t.is(error?.code, StatusCode.UNAVAILABLE);
});

test.serial('liblxc reads written values unchanged', async (t) => {
  const fixture = await SandboxFixture.make(t, lxc);
  const state = `${fixture.directory}/state`;
  await mkdir(`${state}/probe`, { recursive: true });
  for (const value of ['"a"', "'a'", '"', '"a\'', ' a b ', '#a', '= b', 'a\\', '--help', '$(id)', 'a\u2028b\u0085']) {
    await writeFile(`${state}/probe/config`, formatLxcConfig([{ key: 'lxc.uts.name', value, field: 'f' }]));
    const { stdout } = await run('lxc-info', ['-P', state, '-n', 'probe', '-c', 'lxc.uts.name']);
    t.is(stdout, `lxc.uts.name = ${value}\n`);
  }
});

test.serial('a cancelled start terminates lxc-start', async (t) => {
  const program = resolve('test/fixtures/hanging/lxc-start');
  const fixture = await SandboxFixture.make(t, (lxcPath, logger) => {
    return new LxcSandboxProvider({ lxcPath, programs: `${lxcPath}/.programs`, logger, lxcStart: program });
  });
  await endsWhenCancelled(t, fixture, { program });
});
