import test from 'ava';
import type { ExecutionContext } from 'ava';
import fc from 'fast-check';
import { existsSync } from 'node:fs';
import { mkdir, readFile, readlink, rm } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { NamespaceMode, RuntimeServiceService, SecurityProfile_ProfileType } from '../../api/gen/cri.ts';
import { CriError, StatusCode } from '../../src/core/model/errors.ts';
import { lowestOomScore } from '../lib/processes.ts';
import { inventory, leftovers } from './leaks.ts';
import { CAPABILITIES, DEFAULT_CAPABILITIES, HOST_BOUNDING, SPOILERS, toConfig, wishes } from './random-configs.ts';
import type { Wish } from './random-configs.ts';
import { ServerFixture } from './server-fixture.ts';

/** More runs with other values: RANDOM_CONFIGS=500 PROPERTY_SEED=1. */
const runs = Number(process.env['RANDOM_CONFIGS'] ?? 40);

/** Three times of five nothing, else one impossible setting. */
const spoilers = fc.oneof(
  { weight: 3, arbitrary: fc.constant(null) },
  { weight: 2, arbitrary: fc.constantFrom(...SPOILERS) },
);

/** What the container reports about itself, under headings. */
const SCRIPT = `
say() { echo "== $1"; }
unified=/sys/fs/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup)
say status; cat /proc/self/status
say mounts; cat /proc/self/mountinfo
say hostname; hostname
say cwd; pwd
say env; env
say oom; cat /proc/self/oom_score_adj
say ids; cat /proc/self/uid_map /proc/self/gid_map
say owner; stat -c %u:%g / /bin/sh
say net; readlink /proc/self/ns/net
say ipc; readlink /proc/self/ns/ipc
say pid; readlink /proc/self/ns/pid
say tty; test -t 1 && echo yes || echo no
say root; touch /written 2>&1
say port; cat /proc/sys/net/ipv4/ip_unprivileged_port_start
say shm; cat /proc/sys/kernel/shm_rmid_forced
say memory; cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat $unified/memory.max
say shares; cat /sys/fs/cgroup/cpu/cpu.shares 2>/dev/null
say quota; cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us 2>/dev/null || cut -d ' ' -f 1 $unified/cpu.max
say cpus; cat /sys/fs/cgroup/cpuset/cpuset.cpus 2>/dev/null || cat $unified/cpuset.cpus
say resolv; cat /etc/resolv.conf
say end
`;

test.serial(`${String(runs)} random pods run as requested or are refused`, async (t) => {
  t.timeout(runs * 150_000);
  const server = await ServerFixture.make(t);
  const directory = join(server.directory, 'source');
  await mkdir(directory);
  await server.warm();
  const before = await inventory(server);
  let count = 0;
  let refusals = 0;
  const property = fc.asyncProperty(wishes, spoilers, async (wish, spoiler) => {
    const name = `r${String((count += 1))}`;
    const { pod, container } = toConfig(wish, directory);
    spoiler?.spoil(pod, container);
    try {
      const podId = await server.pod(name, pod, wish.handler);
      try {
        const id = await server.sh(podId, 'c', SCRIPT, container);
        const { exitCode, reason, message } = await server.exit(id);
        if (exitCode !== 0) throw new Error(`ended with ${String(exitCode)} ${reason} ${message}`);
        if (spoiler !== null) throw new Error(`ran in spite of a bad ${spoiler.what}`);
        await check(name, wish, parts(await server.output(name, 'c')), directory);
      } finally {
        await server.client.call(RuntimeServiceService.removePodSandbox, { podSandboxId: podId });
      }
    } catch (error) {
      if (spoiler === null || !(error instanceof CriError)) throw error;
      if (error.code === StatusCode.INTERNAL || !spoiler.names.test(error.message)) {
        throw new Error(`a bad ${spoiler.what} is refused with ${String(error.code)} ${error.message}`, {
          cause: error,
        });
      }
      refusals += 1;
    }
  });
  await fc.assert(property, {
    numRuns: runs,
    endOnFailure: true,
    includeErrorInReport: true,
  });
  t.is(count, runs);
  t.log(`${String(count - refusals)} ran, ${String(refusals)} were refused`);
  await leftNothing(t, server, before);
});

async function leftNothing(t: ExecutionContext, server: ServerFixture, before: string[]): Promise<void> {
  await rm(join(server.directory, 'logs'), { recursive: true, force: true });
  t.deepEqual(await leftovers(server, before), []);
}

function parts(output: string): Map<string, string> {
  const sections = output.replaceAll('\r', '').split(/^== /m).slice(1);
  return new Map(
    sections.map((text) => [text.slice(0, text.indexOf('\n')), text.slice(text.indexOf('\n') + 1).trimEnd()]),
  );
}

/** Compares what a container reported with the request; throws at the first difference. */
async function check(name: string, wish: Wish, reported: Map<string, string>, directory: string): Promise<void> {
  const equal = (what: string, actual: unknown, expected: unknown) => {
    const [is, should] = [actual, expected].map((value) => JSON.stringify(value));
    if (is !== should) throw new Error(`${what}: is ${String(is)}, should be ${String(should)}`);
  };
  const get = (key: string) => reported.get(key) ?? `nothing about ${key}`;
  equal('sections', reported.has('end'), true);
  const status = new Map(
    get('status')
      .split('\n')
      .map((line) => line.split(/:\s*/, 2) as [string, string]),
  );
  const numbers = (key: string) => (status.get(key) ?? '').split(/\s+/).filter(Boolean).map(Number);
  const { NODE } = NamespaceMode;

  const uid = wish.user.id ?? (wish.user.name === 'nobody' ? 65_534 : 0);
  const gid = wish.user.group ?? (uid === 65_534 ? 65_534 : 0);
  equal('Uid', numbers('Uid'), [uid, uid, uid, uid]);
  equal('Gid', numbers('Gid'), [gid, gid, gid, gid]);
  equal(
    'Groups',
    numbers('Groups').sort((a, b) => a - b),
    [...new Set([gid, ...wish.groups])].sort((a, b) => a - b),
  );

  const line = wish.hostId === undefined ? '0 0 4294967295' : `0 ${String(wish.hostId)} 65536`;
  equal('ids', get('ids').replaceAll(/ +/g, ' ').trim(), `${line}\n ${line}`);
  equal('owners', get('owner'), '0:0\n0:0');

  equal('CapBnd', BigInt(`0x${status.get('CapBnd') ?? ''}`).toString(16), bounding(wish).toString(16));
  equal('NoNewPrivs', numbers('NoNewPrivs'), [wish.noNewPrivs ? 1 : 0]);
  const own = Number(/^Seccomp_filters:\s*(\d+)$/m.exec(await readFile('/proc/self/status', 'utf8'))?.[1] ?? 0);
  const filtered = !wish.privileged && wish.seccomp === SecurityProfile_ProfileType.RuntimeDefault;
  equal('Seccomp_filters', numbers('Seccomp_filters'), [own + (filtered ? 1 : 0)]);

  equal('hostname', get('hostname'), wish.network === NODE ? hostname() : wish.hostname || name);
  equal('working directory', get('cwd'), wish.cwd || '/');
  equal('tty', get('tty'), wish.tty ? 'yes' : 'no');
  equal('oom_score_adj', get('oom'), String(Math.max(wish.oomScoreAdj, await lowestOomScore())));
  const env = get('env').split('\n');
  for (const [index, value] of wish.env.entries()) {
    equal(`environment ${value}`, env.includes(`RANDOM_${String(index)}=${value}`), true);
  }
  equal('HOSTNAME', env.includes(`HOSTNAME=${get('hostname')}`), true);
  for (const [key, mode] of [
    ['net', wish.network],
    ['ipc', wish.ipc],
    ['pid', wish.podPid],
  ] as const) {
    equal(`${key} namespace of the node`, get(key) === (await readlink(`/proc/self/ns/${key}`)), mode === NODE);
  }
  if (wish.sysctl && wish.network !== NODE) equal('port', get('port'), '81');
  if (wish.sysctl && wish.ipc !== NODE) equal('shm_rmid_forced', get('shm'), '1');
  if (wish.memoryMiB > 0) equal('memory', get('memory'), String(wish.memoryMiB * 2 ** 20));
  if (wish.cpuShares > 0 && get('shares') !== '') equal('shares', get('shares'), String(wish.cpuShares));
  if (wish.cpuQuota !== 0) equal('quota', get('quota').replace('max', '-1'), String(wish.cpuQuota));
  if (wish.cpuset !== '') equal('cpuset', get('cpus'), wish.cpuset);
  equal('resolv.conf', get('resolv').includes(`search ${wish.searches.join(' ')}\n`), wish.searches.length > 0);

  const group = await peerGroup(directory);
  const mounts = new Map(
    get('mounts')
      .split('\n')
      .map((line) => [line.split(' ')[4] ?? '', line]),
  );
  const access = (path: string) => /^\S+ \S+ \S+ \S+ \S+ (r[wo])/.exec(mounts.get(path) ?? '')?.[1];
  equal('root', access('/'), wish.readonlyRootfs ? 'ro' : 'rw');
  if (wish.readonlyRootfs) equal('writing to the root', get('root').includes('Read-only'), true);
  for (const { path, readonly, propagation } of wish.mounts) {
    equal(`access of ${path}`, access(path), readonly ? 'ro' : 'rw');
    const line = mounts.get(path) ?? '';
    equal(`source of ${path}`, line.split(' ')[3]?.endsWith(directory.slice('/tmp'.length)), true);
    // A mount may be shared within the container; it must not share with the node's own peer group.
    equal(`propagation of ${path}`, line.includes(` master:${group} `), propagation === 1);
    equal(`sharing of ${path}`, line.includes(` shared:${group} `), propagation === 2);
  }
  for (const path of wish.masked) equal(`mask on ${path}`, mounts.has(path), !wish.privileged && existsSync(path));
  for (const path of wish.readonly) {
    equal(`read-only ${path}`, access(path), !wish.privileged && existsSync(path) ? 'ro' : undefined);
  }
}

function bounding({ privileged, add, drop, ambient }: Wish): bigint {
  if (privileged) return HOST_BOUNDING;
  const mask = (names: readonly string[]) =>
    names.reduce((sum, name) => sum | (name === 'ALL' ? 0n : 1n << BigInt(CAPABILITIES[name]!)), 0n);
  const base = drop.includes('ALL') ? 0n : add.includes('ALL') ? HOST_BOUNDING : mask(DEFAULT_CAPABILITIES);
  return (base | mask(add) | mask(ambient)) & ~mask(drop) & HOST_BOUNDING;
}

/** The number of the peer group of the mount that a directory is on (mount_namespaces(7)). */
async function peerGroup(directory: string): Promise<string> {
  const lines = (await readFile('/proc/self/mountinfo', 'utf8')).split('\n').map((line) => line.split(' '));
  const holds = (point: string) => point === '/' || directory.startsWith(`${point}/`);
  const [best] = lines
    .filter(([, , , , point]) => point !== undefined && holds(point))
    .sort((a, b) => b[4]!.length - a[4]!.length);
  const group = /^shared:(\d+)$/.exec(best?.[6] ?? '')?.[1];
  if (group === undefined)
    throw new Error(`${directory} is on a mount that is not shared: run this below test/sandbox`);
  return group;
}
