import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { findCgroupNamed } from '../../../../src/host/cgroup/find.ts';
import type { CgroupHierarchy } from '../../../../src/host/cgroup/hierarchies.ts';
import { cgroupDirectories } from '../../../../src/host/cgroup/path.ts';
import { killCgroup } from '../../../../src/host/cgroup/processes.ts';
import { destroyCgroup, removeCgroup } from '../../../../src/host/cgroup/remove.ts';
import { run } from '../../../../src/host/processes/run.ts';
import { eventually } from '../../../lib/eventually.ts';
import { wasOomKilled } from '../../../../src/host/cgroup/usage.ts';

// Plain directories with the files that the kernel would show: both versions can be tested on any machine.
async function trees(t: ExecutionContext): Promise<{ v1: CgroupHierarchy[]; v2: CgroupHierarchy[]; root: string }> {
  const root = await mkdtemp(join(tmpdir(), 'cgroups-'));
  t.teardown(() => rm(root, { recursive: true, force: true }));
  const v1 = ['cpuacct', 'memory', 'pids', 'cpuset'].map((name) => ({
    version: 1 as const,
    mountPoint: join(root, name),
    controllers: [name],
    initPath: '',
  }));
  const v2 = [{ version: 2 as const, mountPoint: join(root, 'unified'), controllers: [], initPath: '' }];
  for (const { mountPoint } of [...v1, ...v2]) await mkdir(join(mountPoint, 'pod/c'), { recursive: true });
  return { v1, v2, root };
}

test('OOM kills are counted on both versions', async (t) => {
  const { v1, v2, root } = await trees(t);
  t.false(wasOomKilled(v1, '/pod/c'));
  const [control, events] = ['memory/pod/c/memory.oom_control', 'unified/pod/c/memory.events'].map((name) =>
    join(root, name),
  ) as [string, string];
  for (const [count, killed] of [
    [0, false],
    [2, true],
  ] as const) {
    await writeFile(control, `oom_kill_disable 0\nunder_oom 0\noom_kill ${String(count)}\n`);
    await writeFile(events, `low 0\nhigh 0\nmax 9\noom 5\noom_kill ${String(count)}\noom_group_kill 0\n`);
    t.is(wasOomKilled(v1, '/pod/c'), killed);
    t.is(wasOomKilled(v2, '/pod/c'), killed);
  }
});

test('A cgroup is killed and removed with its children', async (t) => {
  const { v1, root } = await trees(t);
  const directories = cgroupDirectories('/pod', v1);
  await mkdir(join(root, 'pids/pod/c/deeper/still'), { recursive: true });
  await removeCgroup(directories);
  await removeCgroup(directories);
  t.deepEqual(await readdir(join(root, 'pids')), []);
  await mkdir(join(root, 'pids/pod/c/deeper/still'), { recursive: true });
  await destroyCgroup(directories);
  await destroyCgroup(directories);
  t.deepEqual(await readdir(join(root, 'pids')), []);
});

test('A cgroup is found by its name', async (t) => {
  const { v2, root } = await trees(t);
  const [hierarchy] = v2 as [CgroupHierarchy];
  t.is(findCgroupNamed(hierarchy, 'c'), '/pod/c');
  t.is(findCgroupNamed(hierarchy, 'none'), undefined);
  await mkdir(join(root, 'unified/pod/c/1/wanted/2'), { recursive: true });
  t.is(findCgroupNamed(hierarchy, 'wanted'), '/pod/c/1/wanted');
  t.is(findCgroupNamed({ ...hierarchy, mountPoint: join(root, 'none') }, 'c'), undefined);
});

test('cgroup.kill is used; an empty cgroup is not killed', async (t) => {
  const { v2, root } = await trees(t);
  const directory = join(root, 'unified/pod/c');
  await killCgroup(cgroupDirectories('/none', v2));
  await writeFile(join(directory, 'cgroup.kill'), '');
  await writeFile(join(directory, 'cgroup.procs'), '');
  await killCgroup(cgroupDirectories('/pod/c', v2));
  t.is(await readFile(join(directory, 'cgroup.kill'), 'utf8'), '');
  // A process of a nested cgroup that ends when the kernel would kill it.
  const child = spawn('cat', { stdio: ['pipe', 'ignore', 'ignore'] });
  t.teardown(() => child.kill('SIGKILL'));
  await mkdir(join(directory, 'nested'));
  await writeFile(join(directory, 'nested/cgroup.procs'), `${String(child.pid)}\n0\n${String(process.pid)}\n`);
  const killed = killCgroup(cgroupDirectories('/pod/c', v2));
  await eventually('the kill', async () => (await readFile(join(directory, 'cgroup.kill'), 'utf8')) === '1');
  child.stdin.end();
  await killed;
  t.is(child.exitCode ?? (await once(child, 'exit'))[0], 0, 'it was not killed by signals besides');
});

test('Cgroups of any name and depth are killed and removed', async (t) => {
  const { v2, root } = await trees(t);
  const [top = ''] = cgroupDirectories('/pod/c', v2);
  const process = spawn('sleep', ['1000'], { stdio: 'ignore' });
  t.teardown(() => process.kill('SIGKILL'));
  const named = Buffer.concat([Buffer.from(`${top}/`), Buffer.of(0xff, 0xc3, 0xa9)]);
  await mkdir(named);
  const procs = Buffer.concat([named, Buffer.from('/cgroup.procs')]);
  await writeFile(procs, `${String(process.pid)}\n`);
  await killCgroup([top]);
  t.not(process.exitCode ?? process.signalCode ?? (await once(process, 'exit'))[1], null);
  await rm(procs);

  const ten = Array<string>(10).fill('d'.repeat(250)).join('/');
  await mkdir(join(top, ten), { recursive: true });
  await run('mkdir', ['-p', '--', ten], { cwd: join(top, ten) });
  await writeFile(join(top, 'cgroup.kill'), '');
  await killCgroup([top]);
  t.is(await readFile(join(top, 'cgroup.kill'), 'utf8'), '1', 'what is too deep to be listed is killed as well');
  await rm(join(top, 'cgroup.kill'));
  await removeCgroup([top]);
  t.deepEqual(await readdir(join(root, 'unified/pod')), []);
});
