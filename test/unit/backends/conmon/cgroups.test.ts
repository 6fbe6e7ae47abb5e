import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import fc from 'fast-check';
import { parseFlatKeyed, readUsage, wasOomKilled } from '../../../../src/backends/conmon/cgroup-figures.ts';
import { killCgroup, removeCgroup } from '../../../../src/backends/conmon/cgroup-processes.ts';
import { findCgroup, isCgroupPath, makeCgroup, parseHierarchies } from '../../../../src/backends/conmon/hierarchies.ts';
import type { Hierarchy } from '../../../../src/backends/conmon/hierarchies.ts';

// Plain folders with the files that the kernel would show: both versions can be tested on any machine.
async function trees(t: ExecutionContext): Promise<{ v1: Hierarchy[]; v2: Hierarchy[]; root: string }> {
  const root = await mkdtemp(join(tmpdir(), 'cgroups-'));
  t.teardown(() => rm(root, { recursive: true, force: true }));
  const v1 = ['cpuacct', 'memory', 'pids', 'cpuset'].map((name) => ({
    version: 1 as const,
    mountPoint: join(root, name),
    controllers: [name],
  }));
  const v2 = [{ version: 2 as const, mountPoint: join(root, 'unified'), controllers: [] }];
  for (const { mountPoint } of [...v1, ...v2]) await mkdir(join(mountPoint, 'pod/c'), { recursive: true });
  return { v1, v2, root };
}

test('Hierarchies are read from mountinfo, v1 with their controllers', (t) => {
  const text = [
    '25 22 0:22 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755',
    '26 25 0:23 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 master:2 - cgroup cgroup rw,cpu,cpuacct',
    '27 25 0:24 / /sys/fs/cgroup/systemd rw - cgroup none rw,name=systemd',
    '28 25 0:25 / /a\\040b rw - cgroup2 cgroup2 rw,nsdelegate',
    '29 25 0:25 / /a\\040b rw - cgroup2 cgroup2 rw',
    'rubbish',
  ].join('\n');
  t.deepEqual(parseHierarchies(text), [
    { version: 1, mountPoint: '/sys/fs/cgroup/cpu,cpuacct', controllers: ['cpu', 'cpuacct'] },
    { version: 1, mountPoint: '/sys/fs/cgroup/systemd', controllers: ['name=systemd'] },
    { version: 2, mountPoint: '/a b', controllers: [] },
  ]);
  fc.assert(
    fc.property(fc.string(), (line) => Array.isArray(parseHierarchies(line))),
    { numRuns: 2000 },
  );
});

test('A cgroup path names one below the root and leads nowhere else', (t) => {
  for (const path of ['/a', '/a/b', '/kubepods.slice/x:y']) t.true(isCgroupPath(path), path);
  for (const path of ['', '/', 'a', '/a/', '//a', '/a//b', '/..', '/a/../..', '/.', '/a\n'])
    t.false(isCgroupPath(path), path);
  fc.assert(
    fc.property(fc.string(), (text) => !isCgroupPath(text) || join('/root', text).startsWith('/root/')),
    { numRuns: 2000 },
  );
});

test('Usage is read from v1 and v2 files alike', async (t) => {
  const { v1, v2, root } = await trees(t);
  t.is(await readUsage(v1, '/none', 1n), undefined);
  const files = {
    'cpuacct/pod/c/cpuacct.usage': '5000\n',
    'memory/pod/c/memory.usage_in_bytes': '1000\n',
    'memory/pod/c/memory.stat':
      'rss 1\ntotal_rss 300\ninactive_file 2\ntotal_inactive_file 400\ntotal_pgfault 7\ntotal_pgmajfault 1\n',
    'pids/pod/c/pids.current': '3\n',
    'unified/pod/c/cpu.stat': 'usage_usec 5\nuser_usec 3\n',
    'unified/pod/c/memory.current': '1000\n',
    'unified/pod/c/memory.stat': 'anon 300\ninactive_file 400\npgfault 7\npgmajfault 1\n',
    'unified/pod/c/pids.current': '3\n',
  };
  for (const [name, text] of Object.entries(files)) await writeFile(join(root, name), text);
  const expected = {
    timestamp: 9n,
    cpuNanoseconds: 5000n,
    memoryUsageBytes: 1000n,
    memoryWorkingSetBytes: 600n,
    memoryRssBytes: 300n,
    pageFaults: 7n,
    majorPageFaults: 1n,
    processes: 3n,
  };
  t.deepEqual(await readUsage(v1, '/pod/c', 9n), expected);
  t.deepEqual(await readUsage(v2, '/pod/c', 9n), expected);
  await writeFile(join(root, 'unified/pod/c/memory.stat'), 'inactive_file 4000\n');
  t.like(await readUsage(v2, '/pod/c', 9n), { memoryWorkingSetBytes: 0n, memoryRssBytes: undefined });
  fc.assert(
    fc.property(fc.string(), (text) => parseFlatKeyed(text).size >= 0),
    { numRuns: 2000 },
  );
});

test('An OOM kill shows in the counter of either version', async (t) => {
  const { v1, v2, root } = await trees(t);
  t.false(await wasOomKilled(v1, '/pod/c'));
  const [control, events] = ['memory/pod/c/memory.oom_control', 'unified/pod/c/memory.events'].map((name) =>
    join(root, name),
  ) as [string, string];
  for (const [count, killed] of [
    [0, false],
    [2, true],
  ] as const) {
    await writeFile(control, `oom_kill_disable 0\nunder_oom 0\noom_kill ${String(count)}\n`);
    await writeFile(events, `low 0\nhigh 0\nmax 9\noom 5\noom_kill ${String(count)}\noom_group_kill 0\n`);
    t.is(await wasOomKilled(v1, '/pod/c'), killed);
    t.is(await wasOomKilled(v2, '/pod/c'), killed);
  }
});

test('A cgroup is made in every hierarchy but cpuset, found, and removed with what is below', async (t) => {
  const { v1, root } = await trees(t);
  const files = await makeCgroup(v1, '/monitors/x');
  t.deepEqual(
    files,
    ['cpuacct', 'memory', 'pids'].map((name) => join(root, name, 'monitors/x/cgroup.procs')),
  );
  t.is((await findCgroup(v1, '/monitors/x')).length, 3);
  await mkdir(join(root, 'pids/monitors/x/deeper/still'), { recursive: true });
  await removeCgroup(v1, '/monitors/x');
  await removeCgroup(v1, '/monitors/x');
  t.deepEqual(await findCgroup(v1, '/monitors/x'), []);
  t.deepEqual(await readdir(join(root, 'pids/monitors')), []);
});

test('With cgroup.kill the kernel does the killing, and an empty cgroup is left alone', async (t) => {
  const { v2, root } = await trees(t);
  const folder = join(root, 'unified/pod/c');
  await killCgroup(v2, '/none');
  await writeFile(join(folder, 'cgroup.kill'), '');
  await writeFile(join(folder, 'cgroup.procs'), '');
  await killCgroup(v2, '/pod/c');
  t.is(await readFile(join(folder, 'cgroup.kill'), 'utf8'), '');
  // A process of a nested cgroup that ends soon, as if the kernel had killed it.
  const child = spawn('sleep', ['0.2']);
  await mkdir(join(folder, 'nested'));
  await writeFile(join(folder, 'nested/cgroup.procs'), `${String(child.pid)}\n0\n${String(process.pid)}\n`);
  await killCgroup(v2, '/pod/c');
  t.is(await readFile(join(folder, 'cgroup.kill'), 'utf8'), '1');
  t.is(child.exitCode, 0, 'it was not killed by signals besides');
});
