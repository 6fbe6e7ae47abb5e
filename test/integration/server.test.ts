import test from 'ava';
import { readFile, readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ContainerConfig } from '../../api/gen/cri.ts';
import {
  ContainerState,
  CreateContainerRequest,
  ExecSyncRequest,
  ImageServiceService,
  ListContainerStatsRequest,
  PodSandboxState,
  RunPodSandboxRequest,
  RuntimeServiceService,
} from '../../api/gen/cri.ts';
import { StatusCode } from '../../src/core/model/errors.ts';
import { CommandError, run } from '../../src/host/processes/run.ts';
import { HANG_MS, eventually } from '../lib/eventually.ts';
import { lintMetrics } from '../lib/prometheus.ts';
import { leaseholders } from './kills-reality.ts';
import { killedAmid } from './killed-amid.ts';
import { inventory, leftovers } from './leaks.ts';
import { processesWith } from './runner-fixture.ts';
import { IMAGE, ServerFixture, oneServer } from './server-fixture.ts';
import { programFile } from '../lib/program.ts';

const one = oneServer(test);

/** Lines of a container that ends while the server is down. */
const SHORT = 400;

for (const handler of ['lxc', 'crun']) {
  test.serial(`${handler}: a pod runs a container until removal`, async (t) => {
    const server = await one(t);
    const { client } = server;
    await server.warm();
    const before = await inventory(server);
    const dnsConfig = { servers: ['10.10.10.10'], searches: ['google.com'], options: ['ndots:8'] };
    const sysctls = { 'net.ipv4.ip_unprivileged_port_start': '81', 'kernel.shm_rmid_forced': '1' };
    const pod = await server.pod('web', { hostname: 'web-1', dnsConfig, linux: { sysctls } }, handler);
    const { status } = await client.call(RuntimeServiceService.podSandboxStatus, {
      podSandboxId: pod,
      verbose: true,
    });
    t.is(status?.state, PodSandboxState.SANDBOX_READY);
    t.regex(status?.network?.ip ?? '', /^10\.\d+\.\d+\.\d+$/);
    t.is(status?.runtimeHandler, handler);

    const script =
      'hostname; cat /etc/resolv.conf /proc/sys/net/ipv4/ip_unprivileged_port_start; echo oops >&2; pwd; echo "$GREETING"; exit 7';
    const id = await server.sh(pod, 'main', script, {
      workingDir: '/tmp',
      envs: [{ key: 'GREETING', value: Buffer.from('hello world') }],
    });
    const ended = await server.exit(id);
    t.is(ended.exitCode, 7);
    t.is(ended.reason, 'Error');
    t.true(ended.createdAt > 0n && ended.startedAt >= ended.createdAt && ended.finishedAt >= ended.startedAt);
    t.is(
      await server.output('web', 'main'),
      'web-1\nsearch google.com\nnameserver 10.10.10.10\noptions ndots:8\n81\n/tmp\nhello world\n',
    );
    t.is(await server.output('web', 'main', 'stderr'), 'oops\n');

    const service = await server.sh(pod, 'service', 'trap "exit 3" TERM; echo ready; while :; do sleep 0.1; done', {
      linux: { resources: { memoryLimitInBytes: 64n * 1024n * 1024n, cpuQuota: 50_000n, cpuPeriod: 100_000n } },
      mounts: [{ containerPath: '/data', hostPath: server.directory, readonly: true }],
    });
    await server.said('web', 'service', 'ready');
    const answer = await server.exec(service, 'sh', '-c', 'echo out; echo err >&2; exit 5');
    t.deepEqual([answer.stdout.toString(), answer.stderr.toString(), answer.exitCode], ['out\n', 'err\n', 5]);
    const limit = await server.exec(
      service,
      'sh',
      '-c',
      'cat /sys/fs/cgroup/memory/memory.limit_in_bytes || cat /sys/fs/cgroup/memory.max',
    );
    t.is(limit.stdout.toString().trim(), '67108864');
    const write = await server.exec(service, 'touch', '/data/x');
    t.not(write.exitCode, 0);
    t.regex(write.stderr.toString(), /Read-only/);
    const peer = await server.exec(service, 'ping', '-c', '1', '-W', '60', status?.network?.ip ?? '');
    t.is(peer.exitCode, 0, peer.stderr.toString());
    const timeout = client.call(
      RuntimeServiceService.execSync,
      ExecSyncRequest.create({ containerId: service, cmd: ['sleep', '98765'], timeout: 1n }),
    );
    await t.throwsAsync(timeout, { code: StatusCode.DEADLINE_EXCEEDED } as object);
    await eventually('the end of the command', async () => (await processesWith('sleep\x0098765')).length === 0);

    const { stats } = await client.call(
      RuntimeServiceService.listContainerStats,
      ListContainerStatsRequest.create({ filter: { id: service } }),
    );
    t.is(stats.length, 1);
    t.true((stats[0]?.memory?.workingSetBytes?.value ?? 0n) > 0n);
    t.true((stats[0]?.cpu?.usageCoreNanoSeconds?.value ?? 0n) > 0n);

    await client.call(RuntimeServiceService.stopContainer, { containerId: service, timeout: 300n });
    t.is((await server.status(service)).exitCode, 3);
    const stubborn = await server.sh(pod, 'stubborn', 'trap "" TERM; echo ready; while :; do sleep 0.1; done');
    await server.said('web', 'stubborn', 'ready');
    await client.call(RuntimeServiceService.stopContainer, { containerId: stubborn, timeout: 1n });
    t.is((await server.status(stubborn)).exitCode, 137);

    for (let i = 0; i < 2; i++) {
      await client.call(RuntimeServiceService.removeContainer, { containerId: stubborn });
      await client.call(RuntimeServiceService.stopPodSandbox, { podSandboxId: pod });
    }
    const stopped = await client.call(RuntimeServiceService.podSandboxStatus, { podSandboxId: pod, verbose: false });
    t.is(stopped.status?.state, PodSandboxState.SANDBOX_NOTREADY);
    for (let i = 0; i < 2; i++) await client.call(RuntimeServiceService.removePodSandbox, { podSandboxId: pod });
    t.deepEqual(await leftovers(server, before), []);
  });
}

test.serial('errors have the right code and leave nothing', async (t) => {
  const server = await one(t);
  const { client } = server;
  await server.warm();
  const pod = await server.pod('errors');
  const before = await inventory(server);
  const create = (config: Parameters<typeof ContainerConfig.create>[0]) => server.create(pod, 'bad', config);
  const refusals: [Parameters<typeof ContainerConfig.create>[0], StatusCode, RegExp][] = [
    [{ image: { image: 'localhost/none:1' } }, StatusCode.NOT_FOUND, /image/],
    [
      { mounts: [{ containerPath: '/x', hostPath: '/etc/passwd/below' }] },
      StatusCode.INVALID_ARGUMENT,
      /mounts\[0\]\.host_path/,
    ],
    [{ logPath: '../../escape.log' }, StatusCode.INVALID_ARGUMENT, /log_path/],
    [{ linux: { securityContext: { runAsUsername: 'nobody-here' } } }, StatusCode.INVALID_ARGUMENT, /run_as_username/],
    [{ linux: { securityContext: { apparmorProfile: 'localhost/x' } } }, StatusCode.FAILED_PRECONDITION, /apparmor/],
  ];
  for (const [config, code, message] of refusals) {
    await t.throwsAsync(create({ command: ['true'], ...config }), { code, message } as object, message.source);
  }
  await t.throwsAsync(server.sh(pod, 'missing', '', { command: ['/no/such/program'] }), {
    code: StatusCode.UNKNOWN,
    message: /no\/such\/program/,
  } as object);
  const failed = (await server.containers()).containers.map(({ id }) => id);
  for (const id of failed) {
    const status = await server.status(id);
    t.deepEqual([status.state, status.exitCode, status.reason], [ContainerState.CONTAINER_EXITED, 128, 'StartError']);
    await client.call(RuntimeServiceService.removeContainer, { containerId: id });
  }
  await t.throwsAsync(server.pod('x', {}, 'unknown-handler'), {
    code: StatusCode.INVALID_ARGUMENT,
    message: /lxc, crun/,
  } as object);
  await t.throwsAsync(client.call(RuntimeServiceService.containerStatus, { containerId: 'nothing', verbose: false }), {
    code: StatusCode.NOT_FOUND,
  } as object);
  await t.throwsAsync(server.exec('nothing', 'true'), { code: StatusCode.NOT_FOUND } as object);
  for (const call of [
    client.call(RuntimeServiceService.stopContainer, { containerId: 'nothing', timeout: 0n }),
    client.call(RuntimeServiceService.removeContainer, { containerId: 'nothing' }),
    client.call(RuntimeServiceService.stopPodSandbox, { podSandboxId: 'nothing' }),
    client.call(RuntimeServiceService.removePodSandbox, { podSandboxId: 'nothing' }),
  ]) {
    await t.notThrowsAsync(call);
  }
  t.deepEqual(await leftovers(server, before), []);
});

test.serial('a repeated request returns the first result', async (t) => {
  const server = await one(t);
  const { client } = server;
  const config = server.podConfig('twice');
  const request = RunPodSandboxRequest.create({ config });
  const ids = await Promise.all([1, 2, 3].map(() => client.call(RuntimeServiceService.runPodSandbox, request)));
  t.is(new Set(ids.map(({ podSandboxId }) => podSandboxId)).size, 1);
  const podSandboxId = ids[0]?.podSandboxId ?? '';
  const other = RunPodSandboxRequest.create({ config: { ...config, hostname: 'other' } });
  await t.throwsAsync(client.call(RuntimeServiceService.runPodSandbox, other), {
    code: StatusCode.ALREADY_EXISTS,
  } as object);
  const container = CreateContainerRequest.create({
    podSandboxId,
    config: { metadata: { name: 'c' }, image: { image: IMAGE }, command: ['true'] },
  });
  const made = await Promise.all([1, 2].map(() => client.call(RuntimeServiceService.createContainer, container)));
  t.is(made[0]?.containerId, made[1]?.containerId);
});

test.serial('the RPCs of a starting kubelet succeed', async (t) => {
  const { client } = await one(t);
  const version = await client.call(RuntimeServiceService.version, { version: '' });
  t.deepEqual([version.version, version.runtimeApiVersion], ['0.1.0', 'v1']);
  t.true(version.runtimeName !== '' && version.runtimeVersion !== '');
  const { imageFilesystems } = await client.call(ImageServiceService.imageFsInfo, {});
  t.true((imageFilesystems[0]?.fsId?.mountpoint ?? '').startsWith('/'));
  t.true((imageFilesystems[0]?.usedBytes?.value ?? 0n) > 0n);
  t.is((await client.call(RuntimeServiceService.runtimeConfig, {})).linux?.cgroupDriver, 1);
  const { status, runtimeHandlers, info } = await client.call(RuntimeServiceService.status, { verbose: true });
  t.is(JSON.parse(info['lastCNILoadStatus'] ?? ''), 'OK');
  const plugins = [{ Network: { type: 'bridge' } }, { Network: { type: 'portmap' } }];
  const networks = { Networks: [{ IFName: 'eth0', Config: { CNIVersion: '1.0.0', Plugins: plugins } }] };
  t.like(JSON.parse(info['cniconfig'] ?? ''), networks);
  t.deepEqual(
    status?.conditions.map(({ type, status: holds, message }) => [type, holds, message]),
    [
      ['RuntimeReady', true, ''],
      ['NetworkReady', true, ''],
    ],
  );
  t.deepEqual(
    runtimeHandlers.map(({ name }) => name),
    ['', 'lxc', 'crun'],
  );
});

test.serial('8 writing containers survive SIGKILL to the server', async (t) => {
  const server = await one(t);
  const ids: { id: string; name: string; lines: number; code: number }[] = [];
  const pods = await Promise.all(
    [0, 1, 2, 3].map((number) => server.pod(`p${String(number)}`, {}, number % 2 === 0 ? 'lxc' : 'crun')),
  );
  for (const [index, pod] of pods.entries()) {
    for (let i = 0; i < 2; i++) {
      const name = `c${String(i)}`;
      const lines = i === 0 ? SHORT : 1500;
      const script = `i=0; while [ $i -lt ${String(lines)} ]; do i=$((i+1)); echo "line $i"; usleep 4000; done; exit ${String(i + 10)}`;
      ids.push({ id: await server.sh(pod, name, script), name: `p${String(index)}/${name}`, lines, code: i + 10 });
    }
  }
  const before = new Map(await Promise.all(ids.map(async ({ id }) => [id, await server.status(id)] as const)));
  await server.end('SIGKILL');
  // Some end meanwhile.
  for (const { id, name, lines } of ids) {
    if (lines > SHORT) continue;
    const file = join(server.directory, 'state/runner/exits', id);
    await eventually(`conmon's report of the end of ${name}`, () =>
      stat(file).then(
        () => true,
        () => false,
      ),
    );
  }
  const restartedAt = BigInt(Date.now()) * 1_000_000n;
  const restarted = process.hrtime.bigint();
  await server.start();
  t.log(`took ${String((process.hrtime.bigint() - restarted) / 1_000_000n)} ms to serve again`);
  for (const { id, name, lines, code } of ids) {
    const now = await server.status(id);
    t.is(now.startedAt, before.get(id)?.startedAt ?? -1n, name);
    const ended = await server.exit(id);
    t.is(ended.exitCode, code, name);
    const log = await readFile(ended.logPath, 'utf8');
    const numbers = [...log.matchAll(/ stdout F line (\d+)$/gm)].map((match) => Number(match[1]));
    t.deepEqual(
      numbers,
      Array.from({ length: lines }, (_, at) => at + 1),
      name,
    );
    const last = /^(\S+) stdout F line \d+$/.exec(log.trimEnd().split('\n').at(-1) ?? '')?.[1];
    const distance = Number(ended.finishedAt / 1_000_000n) - Date.parse(last ?? '');
    t.true(distance > -50, `${name} ended ${String(distance)} ms after its last line`);
    if (lines === SHORT) t.true(ended.finishedAt < restartedAt, `${name} ended before the server came back`);
  }
});

test.serial('SIGKILL during creation leaves only listed pods and containers', async (t) => {
  const server = await one(t);
  await server.warm();
  await killedAmid(t, server, [5, 90, 250], () =>
    [0, 1, 2, 3].map(async (number) => {
      const pod = await server.pod(`s${String(number)}`, {}, number % 2 === 0 ? 'lxc' : 'crun');
      await server.sh(pod, 'c', 'sleep 3600');
    }),
  );
});

test.serial('16 pods, 8 at a time, leave nothing', async (t) => {
  const server = await one(t);
  const cycle = async (number: number) => {
    const pod = await server.pod(
      `p${String(number)}`,
      { portMappings: [{ containerPort: 80, hostPort: 21_000 + number }] },
      number % 2 === 0 ? 'lxc' : 'crun',
    );
    const id = await server.sh(pod, 'c', 'echo hello; sleep 100');
    t.is((await server.exec(id, 'echo', 'hi')).stdout.toString(), 'hi\n');
    await server.client.call(RuntimeServiceService.stopPodSandbox, { podSandboxId: pod });
    await server.client.call(RuntimeServiceService.removePodSandbox, { podSandboxId: pod });
  };
  await server.warm();
  const before = await inventory(server);
  let next = 0;
  const worker = async () => {
    while (next < 16) await cycle(next++);
  };
  await Promise.all(Array.from({ length: 8 }, worker));
  t.deepEqual(await leftovers(server, before), []);
});

test.serial('a killed pod is NOTREADY and releases its address', async (t) => {
  const server = await one(t);
  const pod = await server.pod('victim');
  const id = await server.sh(pod, 'c', 'sleep 1000');
  const status = { podSandboxId: pod, verbose: true };
  const { info } = await server.client.call(RuntimeServiceService.podSandboxStatus, status);
  const { lxcNetworkNamespace } = JSON.parse(info['info'] ?? '{}') as { lxcNetworkNamespace?: string };
  const stop = ['lxc-stop', '-k', '-P', join(server.directory, 'state', 'lxc'), '-n', pod];
  await run('nsenter', [`--net=${String(lxcNetworkNamespace)}`, '--', ...stop]);
  const ended = await server.exit(id);
  t.is(ended.exitCode, 137);
  await eventually('NOTREADY', async () => {
    const request = { podSandboxId: pod, verbose: false };
    const { status } = await server.client.call(RuntimeServiceService.podSandboxStatus, request);
    return status?.state === PodSandboxState.SANDBOX_NOTREADY;
  });
  await eventually('its address', async () => (await leaseholders(server)).size === 0);
  t.pass();
});

test.serial('metrics are exposed, and SIGHUP changes the log level', async (t) => {
  const server = await ServerFixture.make(t, '', { metrics: '127.0.0.1:19191' });
  const pod = await server.pod('measured');
  await server.exit(await server.sh(pod, 'c', 'true'));
  const running = await server.sh(pod, 'd', 'sleep 3600');
  await t.throwsAsync(server.exec('nothing', 'true'));
  const page = async () => (await fetch('http://127.0.0.1:19191/metrics')).text();
  const text = await page();
  for (const line of [
    /^proxmox_lxcri_rpc_requests_total\{method="RunPodSandbox",handler="lxc",code="OK"\} 1$/m,
    /^proxmox_lxcri_rpc_requests_total\{method="ExecSync",handler="",code="NOT_FOUND"\} 1$/m,
    /^proxmox_lxcri_rpc_duration_seconds_count\{method="StartContainer",handler="lxc"\} 2$/m,
    /^proxmox_lxcri_pods\{handler="lxc",state="ready"\} 1$/m,
    /^proxmox_lxcri_containers\{handler="lxc",state="running"\} 1$/m,
    /^proxmox_lxcri_containers\{handler="lxc",state="exited"\} 1$/m,
    /^proxmox_lxcri_images 1$/m,
    /^proxmox_lxcri_build_info\{version="[^"]+",commit="\w*",node="24\.[^"]+"\} 1$/m,
    /^proxmox_lxcri_sandbox_operations_total\{handler="lxc",operation="create",result="success"\} 1$/m,
    /^proxmox_lxcri_container_operations_total\{operation="start",result="success"\} 2$/m,
    /^proxmox_lxcri_cni_operations_total\{plugin="\w+",operation="ADD",result="success"\} 1$/m,
    /^proxmox_lxcri_rootfs_operations_total\{store="overlayfs",operation="prepare",result="success"\} [2-9]$/m,
    /^proxmox_lxcri_rootfs_store_free_bytes\{store="overlayfs"\} [1-9]\d*$/m,
    /^process_resident_memory_bytes \d+$/m,
  ]) {
    t.regex(text, line);
  }
  t.deepEqual(lintMetrics(text), []);
  for (const probe of ['healthz', 'readyz']) t.is((await fetch(`http://127.0.0.1:19191/${probe}`)).status, 200, probe);
  t.is((await fetch('http://127.0.0.1:19191/other')).status, 404);
  const monitor = await readFile(join(server.directory, 'state/runner/containers', running, 'conmon.pid'), 'utf8');
  process.kill(Number(monitor), 'SIGKILL');
  await eventually('a lost monitor', async () =>
    (await page()).includes('proxmox_lxcri_container_monitors_lost_total 1\n'),
  );
  await server.client.call(RuntimeServiceService.stopContainer, { containerId: running, timeout: 0n });
  await eventually('a lost container', async () =>
    (await page()).includes('proxmox_lxcri_containers_lost_total{handler="lxc"} 1\n'),
  );
  const config = join(server.directory, 'config.toml');
  await writeFile(config, (await readFile(config, 'utf8')).replace('level = "debug"', 'level = "error"'));
  server.signal('SIGHUP');
  // A call is logged at debug alone.
  const version = async () => {
    const before = (await server.log()).length;
    await server.containers();
    await server.containers();
    return (await server.log()).length === before;
  };
  await eventually('the new level', version);
  t.true(await version());
});

test.serial('a second server on the same directories is refused', async (t) => {
  const server = await one(t);
  // It exits by itself, so that its supervisor notices.
  const refused = async (args: string[], words: RegExp) => {
    const serve = [programFile('main'), 'serve', '--config', join(server.directory, 'config.toml'), ...args];
    const error = await t.throwsAsync(run(process.execPath, serve, { timeoutMs: HANG_MS }), {
      instanceOf: CommandError,
      message: words,
    });
    t.is(error?.exitCode, 1, words.source);
  };
  await refused([], /another server uses/);
  const elsewhere = ['--root', join(server.directory, 'other-root'), '--state', join(server.directory, 'other-state')];
  await refused(elsewhere, /another server listens/);
  t.is((await server.containers()).containers.length, 0);
});

test.serial('SIGTERM ends the server and leaves containers running', async (t) => {
  const server = await one(t);
  const pod = await server.pod('stays');
  const id = await server.sh(pod, 'c', 'i=0; while :; do i=$((i+1)); echo $i; usleep 50000; done');
  const before = await server.status(id);
  t.is(await server.end('SIGTERM'), 0);
  const lines = async () => (await server.output('stays', 'c')).split('\n').length;
  const then = await lines();
  await eventually('more lines', async () => (await lines()) > then + 15);
  await server.start();
  const after = await server.status(id);
  t.is(after.state, ContainerState.CONTAINER_RUNNING);
  t.is(after.startedAt, before.startedAt);
  const numbers = (await server.output('stays', 'c')).trim().split('\n').map(Number);
  t.deepEqual(
    numbers,
    Array.from({ length: numbers.length }, (_, at) => at + 1),
  );
});

test.serial('SIGUSR2 writes diagnostics for root; SIGUSR1 opens no debugger', async (t) => {
  const server = await one(t);
  const reports = join(server.directory, 'state/reports');
  server.signal('SIGUSR1');
  server.signal('SIGUSR2');
  await eventually('the files', async () => (await server.log()).includes('Diagnostics written'));
  const names = (await readdir(reports)).sort();
  t.deepEqual(
    names.map((name) => name.replace(/^.*Z/, '')),
    ['.heapsnapshot', '.report.json'],
  );
  for (const name of names) t.is((await stat(join(reports, name))).mode & 0o777, 0o600);
  t.is((await stat(reports)).mode & 0o777, 0o700);
  t.notRegex(await readFile(join(reports, names[1] ?? ''), 'utf8'), /environmentVariables/);
  t.notRegex(await server.log(), /Debugger listening/);
  await server.client.call(RuntimeServiceService.version, { version: '' });
});

test.serial('Status names the remedy for a missing program', async (t) => {
  const server = await ServerFixture.make(t);
  await server.end('SIGTERM');
  const config = join(server.directory, 'config.toml');
  const text = await readFile(config, 'utf8');
  for (const key of ['conmon', 'oci_runtime']) {
    await writeFile(config, text.replace('[runtime]\n', `[runtime]\n${key} = "/no/such/program"\n`));
    await server.start();
    const { status } = await server.client.call(RuntimeServiceService.status, { verbose: true });
    const ready = status?.conditions.find(({ type }) => type === 'RuntimeReady');
    t.like(ready, { status: false, reason: 'MissingProgram' });
    t.regex(
      ready?.message ?? '',
      /\/no\/such\/program, which .* not found; apt-get install (conmon|crun), or set runtime\./,
    );
    await server.end('SIGTERM');
  }
});
