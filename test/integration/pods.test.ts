import test from 'ava';
import { existsSync } from 'node:fs';
import {
  CheckpointContainerRequest,
  ContainerState,
  NamespaceMode,
  RuntimeServiceService,
  UpdateContainerResourcesRequest,
  UpdatePodSandboxResourcesRequest,
} from '../../api/gen/cri.ts';
import type { ContainerConfig } from '../../api/gen/cri.ts';
import { StatusCode } from '../../src/core/model/errors.ts';
import { eventually } from '../lib/eventually.ts';
import { hasCgroupController } from '../lib/mounts.ts';
import { lowestOomScore } from '../lib/processes.ts';
import { ServerFixture, oneServer } from './server-fixture.ts';

const one = oneServer(test);

type Resources = NonNullable<NonNullable<Parameters<typeof ContainerConfig.create>[0]>['linux']>['resources'];

test.serial('pod limits are recorded, reported and survive a restart', async (t) => {
  const server = await one(t);
  const { client } = server;
  const update = (podSandboxId: string, changes: object) =>
    client.call(
      RuntimeServiceService.updatePodSandboxResources,
      UpdatePodSandboxResourcesRequest.create({ podSandboxId, ...changes }),
    );
  for (const handler of ['lxc', 'crun']) {
    const pod = await server.pod(`resized-${handler}`, {}, handler);
    const id = await server.sh(pod, 'c', 'exec sleep 1000');
    const reported = async () => {
      const request = { podSandboxId: pod, verbose: true };
      const { info } = await client.call(RuntimeServiceService.podSandboxStatus, request);
      return (JSON.parse(info['info'] ?? '') as { resources?: unknown }).resources;
    };
    t.is(await reported(), undefined);
    const { info, ...answer } = await client.call(RuntimeServiceService.podSandboxStatus, {
      podSandboxId: pod,
      verbose: true,
    });
    const eth0 = { IPConfigs: [{ IP: answer.status?.network?.ip }] };
    t.like(JSON.parse(info['info'] ?? ''), { runtimeHandler: handler, cniResult: { Interfaces: { eth0 } } });
    t.deepEqual(
      answer.containersStatuses.map((status) => [status.id, status.state]),
      [[id, ContainerState.CONTAINER_RUNNING]],
    );
    t.true(answer.timestamp > (answer.containersStatuses[0]?.startedAt ?? 0n));
    await update(pod, { overhead: { cpuShares: 10n } });
    await update(pod, { resources: { memoryLimitInBytes: 1n << 30n, cpuQuota: 50_000n, cpuPeriod: 100_000n } });
    const expected = { overhead: { cpuShares: '10' }, resources: { memoryLimitInBytes: '1073741824' } };
    t.like(await reported(), expected);
    await server.end('SIGKILL');
    await server.start();
    t.like(await reported(), expected);
    t.is((await server.exec(id, 'true')).exitCode, 0);
    const checkpoint = CheckpointContainerRequest.create({ containerId: id, location: '/tmp/checkpoint.tar' });
    const unsupported = { code: StatusCode.UNIMPLEMENTED, message: /CRIU/ } as object;
    await t.throwsAsync(client.call(RuntimeServiceService.checkpointContainer, checkpoint), unsupported);
    const refused = { code: StatusCode.INVALID_ARGUMENT, message: /^resources\.cpu_period/ } as object;
    await t.throwsAsync(update(pod, { resources: { cpuPeriod: 5n } }), refused);
    await client.call(RuntimeServiceService.stopPodSandbox, { podSandboxId: pod });
    await t.throwsAsync(update(pod, {}), { code: StatusCode.FAILED_PRECONDITION } as object);
  }
  await t.throwsAsync(update('nobody', {}), { code: StatusCode.NOT_FOUND } as object);
});

/** The content of memory.limit_in_bytes (cgroup v1) without a limit, which the kubelet reads and passes on. */
const NONE = 9_223_372_036_854_771_712n;

test.serial('an update changes only the limits it names', async (t) => {
  const server = await one(t);
  const { client } = server;
  for (const handler of ['lxc', 'crun']) {
    const pod = await server.pod(`unlimited-${handler}`, {}, handler);
    for (const memoryLimitInBytes of [NONE, -1n, -67_108_865n]) {
      const request = { podSandboxId: pod, resources: { memoryLimitInBytes, cpuQuota: -1n, cpuShares: -98n } };
      await client.call(
        RuntimeServiceService.updatePodSandboxResources,
        UpdatePodSandboxResourcesRequest.create(request),
      );
    }
    const resources = { memoryLimitInBytes: 64n << 20n, cpuShares: 512n, cpuQuota: 50_000n, cpuPeriod: 100_000n };
    const id = await server.sh(pod, 'a', 'exec sleep 1000', { linux: { resources } });
    const files = { v1: '/sys/fs/cgroup/memory/memory.limit_in_bytes', v2: '/sys/fs/cgroup/memory.max' };
    const memory = async () => {
      const script = `cat ${files.v1} 2>/dev/null || cat ${files.v2}`;
      return (await server.exec(id, 'sh', '-c', script)).stdout.toString().trim();
    };
    const update = (linux: object) =>
      client.call(
        RuntimeServiceService.updateContainerResources,
        UpdateContainerResourcesRequest.create({ containerId: id, linux }),
      );
    await update({ cpuQuota: 60_000n });
    t.like((await server.status(id)).resources?.linux, { ...resources, cpuQuota: 60_000n });
    t.is(await memory(), String(64 << 20));
    await update({ memoryLimitInBytes: NONE });
    t.like((await server.status(id)).resources?.linux, { ...resources, cpuQuota: 60_000n, memoryLimitInBytes: -1n });
    t.regex(await memory(), /^(max|9223372036854771712)$/);
    await update({ memoryLimitInBytes: 32n << 20n });
    t.is(await memory(), String(32 << 20));
    const { info } = await client.call(RuntimeServiceService.containerStatus, { containerId: id, verbose: true });
    t.like(JSON.parse(info['info'] ?? ''), {
      runtimeSpec: { linux: { resources: { memory: { limit: 32 << 20 }, cpu: { quota: 60_000 } } } },
    });
    const free = await server.sh(pod, 'b', 'exec sleep 1000', { linux: { resources: { memoryLimitInBytes: NONE } } });
    t.is((await server.exec(free, 'true')).exitCode, 0);
  }
});

const withoutSelinux = existsSync('/sys/fs/selinux/enforce') ? test.skip : test.serial;
withoutSelinux('SELinux options are ignored where the kernel has no SELinux', async (t) => {
  const server = await one(t);
  const linux = { securityContext: { selinuxOptions: { type: 'spc_t', level: 's0' } } };
  const pod = await server.pod('labelled', { linux });
  const id = await server.sh(pod, 'c', 'exec sleep 1000', { linux });
  t.is((await server.exec(id, 'true')).exitCode, 0);
});

test.serial('configured rlimits apply to containers and exec sessions', async (t) => {
  const wanted = ['core=0:unlimited', 'memlock=65536', 'nofile=2048:4096', 'msgqueue=unlimited'];
  const server = await ServerFixture.make(t, `default_ulimits = ${JSON.stringify(wanted)}\n`);
  t.regex(await server.log(), /runtime\.default_ulimits exceeds the limits of the server.*RLIMIT_MSGQUEUE Infinity is/);
  const ids = [{ hostId: 200_000, containerId: 0, length: 65_536 }];
  const userNamespace = { namespaceOptions: { usernsOptions: { mode: NamespaceMode.POD, uids: ids, gids: ids } } };
  for (const handler of ['lxc', 'crun']) {
    for (const [name, securityContext] of Object.entries({ plain: {}, mapped: userNamespace })) {
      const pod = await server.pod(`${name}-${handler}`, { linux: { securityContext } }, handler);
      const id = await server.sh(pod, 'c', 'cat /proc/self/limits; exec sleep 1000', {});
      const of = (text: string) =>
        text
          .split('\n')
          .filter((line) => /core|locked|open files/.test(line))
          .map((line) => line.replaceAll(/\s+/g, ' ').trim());
      const expected = [
        'Max core file size 0 unlimited bytes',
        'Max open files 2048 4096 files',
        'Max locked memory 65536 65536 bytes',
      ];
      const isWritten = async () => (await server.output(`${name}-${handler}`, 'c')).includes('Max realtime timeout');
      await eventually('the limits', isWritten);
      t.deepEqual(of(await server.output(`${name}-${handler}`, 'c')), expected);
      t.deepEqual(of((await server.exec(id, 'cat', '/proc/self/limits')).stdout.toString()), expected);
    }
  }
});

test.serial('container limits reach the cgroup; unsupported ones are refused', async (t) => {
  const server = await ServerFixture.make(t, 'pids_limit = 77\n');
  const cgroup = async (id: string, v1: string, v2: string) => {
    const script = `cat /sys/fs/cgroup/${v1} 2>/dev/null || cat /sys/fs/cgroup/${v2}`;
    return (await server.exec(id, 'sh', '-c', script)).stdout.toString().trim();
  };
  const hugepageLimits = [{ pageSize: '2MB', limit: 0n }];
  for (const handler of ['lxc', 'crun']) {
    const pod = await server.pod(`limits-${handler}`, {}, handler);
    const run = (name: string, resources: Resources) =>
      server.sh(pod, name, 'exec sleep 1000', {
        linux: { resources, securityContext: { namespaceOptions: { pid: NamespaceMode.CONTAINER } } },
      });
    const id = await run('a', {
      cpusetCpus: '0',
      cpuShares: 512n,
      cpuQuota: 50_000n,
      oomScoreAdj: 900n,
      hugepageLimits,
    });
    t.is(await cgroup(id, 'pids/pids.max', 'pids.max'), '77');
    t.is(await cgroup(id, 'cpuset/cpuset.cpus', 'cpuset.cpus'), '0');
    t.is((await server.exec(id, 'cat', '/proc/1/oom_score_adj')).stdout.toString(), '900\n');
    const low = await run('b', { oomScoreAdj: -999n });
    const score = Number((await server.exec(low, 'cat', '/proc/1/oom_score_adj')).stdout.toString());
    t.is(score, Math.max(-999, await lowestOomScore()));
    const refusals: [Resources, StatusCode, RegExp][] = [
      [{ oomScoreAdj: -1001n }, StatusCode.INVALID_ARGUMENT, /oom_score_adj/],
      [{ cpusetCpus: '0-' }, StatusCode.INVALID_ARGUMENT, /cpuset_cpus/],
      [{ cpusetCpus: '4000' }, StatusCode.UNKNOWN, /cpuset/],
    ];
    if (!(await hasCgroupController('hugetlb'))) {
      const limits = [{ pageSize: '2MB', limit: 4096n }];
      refusals.push([{ hugepageLimits: limits }, StatusCode.FAILED_PRECONDITION, /no hugetlb/]);
    }
    for (const [resources, code, problem] of refusals) {
      await t.throwsAsync(run('bad', resources), { code, message: problem } as object, problem.source);
    }
    await server.client.call(RuntimeServiceService.updateContainerResources, {
      containerId: id,
      linux: { ...(await server.status(id)).resources!.linux!, cpuShares: 256n, cpuQuota: -1n },
      windows: undefined,
      annotations: {},
    });
    if (!(await cgroup(id, 'cpu/cpu.shares', 'none')).includes('256')) {
      t.is(await cgroup(id, 'none', 'cpu.weight'), '10');
    }
    t.notRegex(await cgroup(id, 'cpu/cpu.cfs_quota_us', 'cpu.max'), /^50000/);
    t.is((await server.status(id)).resources?.linux?.cpuShares, 256n);
  }
});
