import { mkdir, readFile, readdir, rmdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { LinuxContainerResources, NamespaceMode, RuntimeServiceService } from '../../api/gen/cri.ts';
import { eventually } from '../lib/eventually.ts';
import { type Handler, sharedOn } from '../lib/handlers.ts';
import { cgroupMounts } from '../lib/mounts.ts';
import { checkPodFigures } from '../integration/pod-figures.ts';
import { oneServer } from '../integration/server-fixture.ts';
import type { ServerFixture } from '../integration/server-fixture.ts';

const MIB = 1_048_576;
const FOREVER = 'trap "exit 0" TERM; sleep 3600 & wait';
/** Fills memory that cannot be reclaimed until it is killed. */
const FILL_MEMORY = 'exec tail /dev/zero';

type Resources = Parameters<typeof LinuxContainerResources.create>[0];

function limits(resources: Resources) {
  return { linux: { resources: LinuxContainerResources.create(resources) } };
}

/** A running container and its cgroup, as the node sees it. */
class Probe {
  readonly #server: ServerFixture;
  readonly id: string;
  readonly path: string;

  private constructor(server: ServerFixture, id: string, path: string) {
    this.#server = server;
    this.id = id;
    this.path = path;
  }

  static async make(server: ServerFixture, pod: string, name: string, resources: Resources, script = FOREVER) {
    const id = await server.sh(pod, name, script, limits(resources));
    return new Probe(server, id, `/sys/fs/cgroup${server.cgroup}/${pod}/${id}`);
  }

  async outside(file: string): Promise<string> {
    return (await readFile(`${this.path}/${file}`, 'utf8')).trim();
  }

  async inside(script: string): Promise<string> {
    const { stdout, stderr } = await this.#server.exec(this.id, 'sh', '-c', script);
    return `${stdout.toString()}${stderr.toString()}`.trim();
  }

  /** Compares cgroup files with the expected values, in the node's tree and in the container's own view. */
  async has(t: ExecutionContext, files: Record<string, string>): Promise<void> {
    const inside = (await this.inside(`cd /sys/fs/cgroup && cat ${Object.keys(files).join(' ')}`)).split('\n');
    t.deepEqual(inside, Object.values(files), 'seen from inside');
    for (const [file, expected] of Object.entries(files)) t.is(await this.outside(file), expected, file);
  }

  update(resources: Resources) {
    const linux = LinuxContainerResources.create(resources);
    const request = { containerId: this.id, linux, windows: undefined, annotations: {} };
    return this.#server.client.call(RuntimeServiceService.updateContainerResources, request);
  }
}

test.before('the machine has only cgroup v2', async (t) => {
  t.deepEqual(
    (await cgroupMounts()).map(({ version }) => version),
    [2],
  );
});

const one = oneServer(test, 'pids_limit = 77\n');

type Body = (t: ExecutionContext, server: ServerFixture, handler: string) => Promise<void>;

/** A test on these handlers. */
function on(handlers: readonly Handler[], title: string, body: Body): void {
  test.serial(title, async (t) => {
    const server = await one(t);
    for (const handler of handlers) await body(t, server, handler);
  });
}

on(sharedOn('lxc'), 'statistics and metrics are those of cgroup v2', (t, server, handler) =>
  checkPodFigures(t, server, handler, 2),
);

on(sharedOn('lxc'), 'limits reach cgroup v2; a container sees only its own', async (t, server, handler) => {
  const pod = await server.pod(`limits-${handler}`, {}, handler);
  const probe = await Probe.make(server, pod, 'a', {
    cpuShares: 512n,
    cpuQuota: 50_000n,
    cpuPeriod: 100_000n,
    cpusetCpus: '0',
    cpusetMems: '0',
    memoryLimitInBytes: BigInt(64 * MIB),
    memorySwapLimitInBytes: BigInt(96 * MIB),
    oomScoreAdj: 321n,
    unified: { 'memory.high': String(48 * MIB), 'memory.oom.group': '1' },
  });
  await probe.has(t, {
    'cpu.weight': '20',
    'cpu.max': '50000 100000',
    'cpuset.cpus': '0',
    'cpuset.mems': '0',
    'memory.max': String(64 * MIB),
    'memory.swap.max': String(32 * MIB),
    'memory.high': String(48 * MIB),
    'memory.oom.group': '1',
    'pids.max': '77',
  });
  const [first] = (await probe.outside('cgroup.procs')).split('\n');
  t.is(await readFile(`/proc/${first ?? ''}/oom_score_adj`, 'utf8'), '321\n');
  t.is(await probe.inside('cat /proc/self/cgroup'), '0::/');
  t.regex(await probe.inside('echo 1 >/sys/fs/cgroup/pids.max'), /Read-only file system/);
  t.false((await probe.inside('ls /sys/fs/cgroup')).split('\n').some((name) => name.includes('proxmox')));

  const noSwap = await Probe.make(server, pod, 'b', { memoryLimitInBytes: BigInt(32 * MIB) });
  await noSwap.has(t, { 'memory.max': String(32 * MIB), 'memory.swap.max': '0', 'cpu.max': 'max 100000' });
});

on(sharedOn('crun'), 'an update changes only the limits it names', async (t, server, handler) => {
  const pod = await server.pod(`update-${handler}`, {}, handler);
  const probe = await Probe.make(server, pod, 'a', {
    memoryLimitInBytes: BigInt(64 * MIB),
    cpuQuota: 50_000n,
    cpuPeriod: 100_000n,
  });
  await probe.update({ memoryLimitInBytes: BigInt(128 * MIB) });
  await probe.has(t, { 'memory.max': String(128 * MIB), 'memory.swap.max': '0', 'cpu.max': '50000 100000' });
  await probe.update({ cpuShares: 2048n, cpusetCpus: '0', unified: { 'memory.low': String(MIB) } });
  await probe.has(t, { 'cpu.weight': '79', 'cpuset.cpus': '0', 'memory.low': String(MIB) });
  await probe.update({ cpuQuota: -1n });
  await probe.has(t, { 'cpu.max': 'max 100000', 'memory.max': String(128 * MIB) });
  // A file that the kernel lacks causes an error that names it; earlier settings stay.
  await t.throwsAsync(probe.update({ unified: { 'memory.nothing': '1' } }), { message: /memory\.nothing/ });
  t.is(await probe.outside('memory.max'), String(128 * MIB));
});

on(sharedOn('lxc'), 'OOMKilled is reported only after an OOM kill', async (t, server, handler) => {
  const pod = await server.pod(`oom-${handler}`, {}, handler);
  const end = async (name: string, script: string, resources: Resources) =>
    server.exit(await server.sh(pod, name, script, limits(resources)));
  const memory = { memoryLimitInBytes: BigInt(24 * MIB) };
  t.like(await end('alone', FILL_MEMORY, memory), { reason: 'OOMKilled', exitCode: 137 });
  // The kernel killed a child; the first process decides what follows.
  t.like(await end('child', '(exec tail /dev/zero); exit 3', memory), { reason: 'OOMKilled', exitCode: 3 });
  const group = { ...memory, unified: { 'memory.oom.group': '1' } };
  t.like(await end('group', '(exec tail /dev/zero); exit 3', group), { reason: 'OOMKilled', exitCode: 137 });
  t.like(await end('killed', 'kill -9 $$', memory), { reason: 'Error', exitCode: 137 });
  t.like(await end('fine', 'true', memory), { reason: 'Completed', exitCode: 0 });
});

on(['lxc', 'crun'], "a limit of the kubelet's cgroup reports OOMKilled", async (t, server, handler) => {
  const parent = `${server.cgroup}/kubepods/burstable/pod1`;
  const directory = `/sys/fs/cgroup${parent}`;
  await mkdir(directory, { recursive: true });
  for (const at of [server.cgroup, dirname(dirname(parent)), dirname(parent)]) {
    await writeFile(`/sys/fs/cgroup${at}/cgroup.subtree_control`, '+cpuset +cpu +io +memory +pids');
  }
  await writeFile(`${directory}/memory.max`, String(48 * MIB));
  await writeFile(`${directory}/memory.swap.max`, '0');
  const pod = await server.pod(`parent-${handler}`, { linux: { cgroupParent: parent } }, handler);
  // Repeated, because the kernel may select the next process while it clears a dead one.
  for (let turn = 0; turn < 3; turn++) {
    const hog = await server.sh(pod, `hog-${String(turn)}`, FILL_MEMORY);
    t.like(await server.exit(hog), { reason: 'OOMKilled', exitCode: 137 });
  }
  const id = await server.sh(pod, 'in', FOREVER);
  const within = await readdir(`${directory}/${pod}`);
  t.true(within.includes(id), within.join(' '));
  t.regex(
    await readFile(`${directory}/cgroup.procs`, 'utf8'),
    /^$/,
    'nothing runs in the cgroup of the kubelet itself',
  );
  t.is((await readFile(`${directory}/memory.max`, 'utf8')).trim(), String(48 * MIB));
  await server.client.call(RuntimeServiceService.removePodSandbox, { podSandboxId: pod });
  const left = await readdir(directory, { withFileTypes: true });
  t.deepEqual(
    left.filter((entry) => entry.isDirectory()),
    [],
  );
  for (let at = parent; at !== server.cgroup; at = dirname(at)) await rmdir(`/sys/fs/cgroup${at}`);
});

on(['lxc', 'crun'], 'OOM scores protect the processes that a pod needs', async (t, server, handler) => {
  // As an init system sets it for this server.
  await writeFile(`/proc/${String(server.pid)}/oom_score_adj`, '-999');
  const pod = await server.pod(`spared-${handler}`, {}, handler);
  const score = 'cat /proc/self/oom_score_adj';
  for (const [name, oomScoreAdj] of Object.entries({ none: 0n, some: 321n, low: -998n })) {
    const id = await server.sh(pod, name, `${score}; ${FOREVER}`, limits({ oomScoreAdj }));
    t.is((await server.exec(id, 'sh', '-c', score)).stdout.toString(), `${String(oomScoreAdj)}\n`, 'of an exec');
    await server.said(`spared-${handler}`, name, String(oomScoreAdj));
    const directory = `/sys/fs/cgroup${server.cgroup}`;
    const groups = await readdir(directory, { recursive: true, withFileTypes: true });
    const files = groups.filter((file) => file.name === 'cgroup.procs').map((file) => file.parentPath);
    const others = files.filter((group) => !group.includes(`/${id}`));
    const pids = (await Promise.all(others.map((group) => readFile(`${group}/cgroup.procs`, 'utf8')))).join('');
    for (const pid of pids.split('\n').filter(Boolean)) {
      // A command that has ended meanwhile has none.
      const title = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
      t.regex(await readFile(`/proc/${pid}/oom_score_adj`, 'utf8').catch(() => ''), /^(-1000\n)?$/, title);
    }
    t.true(pids !== '');
    await server.client.call(RuntimeServiceService.stopContainer, { containerId: id, timeout: 0n });
  }
  await writeFile(`/proc/${String(server.pid)}/oom_score_adj`, '0');
});

on(sharedOn('crun'), 'a container has only the requested devices and permissions', async (t, server, handler) => {
  const pod = await server.pod(`devices-${handler}`, {}, handler);
  const attempt = async (name: string, config: Parameters<ServerFixture['sh']>[3], script: string) => {
    await server.exit(await server.sh(pod, name, `{ ${script}; } 2>&1; true`, config));
    return server.output(`devices-${handler}`, name);
  };
  const mine = 'mknod /d c 1 11 && head -c 1 /d >/dev/null && echo read; echo x >/dev/null && echo null';
  t.regex(await attempt('none', {}, mine), /Operation not permitted\nnull/);
  // Not one of the devices that every container has.
  const device = { hostPath: '/dev/fuse', containerPath: '/dev/one', permissions: 'r' };
  const reads = await attempt('read', { devices: [device] }, 'true </dev/one && echo read; true >/dev/one');
  t.regex(reads, /^read\n.*Operation not permitted/);
  const privileged = { linux: { securityContext: { privileged: true } } };
  t.regex(await attempt('all', privileged, 'mknod /d c 1 5 && head -c 1 /d | wc -c'), /^1\n$/);
});

on(sharedOn('lxc'), "usage equals the kernel's figures", async (t, server, handler) => {
  const pod = await server.pod(`stats-${handler}`, {}, handler);
  const script = `dd if=/dev/zero of=/file bs=1M count=8 2>/dev/null; i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; x=$(head -c 16000000 /dev/zero | tr "\\0" x); echo ready; ${FOREVER}`;
  const probe = await Probe.make(server, pod, 'a', {}, script);
  await eventually('the container', async () => (await server.output(`stats-${handler}`, 'a')) !== '');
  const { stats } = await server.client.call(RuntimeServiceService.containerStats, { containerId: probe.id });
  const kernel = async (file: string, key: string) =>
    BigInt(new RegExp(`^${key} (\\d+)$`, 'm').exec(await probe.outside(file))?.[1] ?? 0);
  const near = (reported: bigint | undefined, real: bigint, what: string) => {
    t.true(
      reported !== undefined && reported > real / 2n && reported < real * 2n,
      `${what}: ${String(reported)}, ${String(real)}`,
    );
  };
  near(stats?.cpu?.usageCoreNanoSeconds?.value, (await kernel('cpu.stat', 'usage_usec')) * 1000n, 'cpu');
  near(stats?.memory?.usageBytes?.value, BigInt(await probe.outside('memory.current')), 'memory');
  near(stats?.memory?.rssBytes?.value, await kernel('memory.stat', 'anon'), 'rss');
  const { workingSetBytes, usageBytes, rssBytes } = stats?.memory ?? {};
  t.true((workingSetBytes?.value ?? 0n) <= (usageBytes?.value ?? 0n));
  t.true((rssBytes?.value ?? 0n) > 16_000_000n, 'the variable of the shell');
});

on(['lxc', 'crun'], 'stop ends a frozen cgroup in a shared PID namespace', async (t, server, handler) => {
  const shared = { linux: { securityContext: { namespaceOptions: { pid: NamespaceMode.POD } } } };
  const pod = await server.pod(`stop-${handler}`, shared, handler);
  const deaf =
    'trap "" TERM INT HUP; for i in 1 2 3; do setsid sh -c "trap \\"\\" TERM; while :; do sleep 1; done" & done; while :; do sleep 1; done';
  for (const frozen of [false, true]) {
    const probe = await Probe.make(server, pod, `deaf-${String(frozen)}`, {}, deaf);
    await eventually('children', async () => Number(await probe.outside('pids.current')) >= 4);
    if (frozen) await writeFile(`${probe.path}/cgroup.freeze`, '1');
    await server.client.call(RuntimeServiceService.stopContainer, { containerId: probe.id, timeout: 1n });
    t.is((await server.exit(probe.id)).exitCode, 137);
    t.is(await probe.outside('cgroup.procs').catch(() => ''), '', 'nothing of it runs on');
    t.is(
      await probe
        .outside('cgroup.events')
        .then((text) => /populated (\d)/.exec(text)?.[1])
        .catch(() => '0'),
      '0',
    );
  }
});
