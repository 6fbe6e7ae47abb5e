import test from 'ava';
import type { ExecutionContext } from 'ava';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { ContainerAdjustment, LinuxResources } from '../../api/gen/nri.ts';
import { ContainerState, LinuxContainerResources, RuntimeServiceService } from '../../api/gen/cri.ts';
import { messageOf } from '../../src/utils/errors.ts';
import { eventually } from '../lib/eventually.ts';
import { TestPlugin } from '../lib/nri-plugin.ts';
import type { Answers } from '../lib/nri-plugin.ts';
import { writeScript } from '../lib/script.ts';
import { ServerFixture } from './server-fixture.ts';

let servers = 0;

/** A server with NRI, whose plugins connect with `plugin`. */
async function make(t: ExecutionContext, more = '') {
  servers += 1;
  const socket = `/tmp/nri-${String(process.pid)}-${String(servers)}.sock`;
  const server = await ServerFixture.make(
    t,
    `[nri]\nenable = true\nsocket = "${socket}"\nrequest_timeout_seconds = 300\n${more}`,
  );
  const plugin = async (name: string, answers: Answers = {}) => {
    const made = await TestPlugin.connect(socket, name, answers);
    t.teardown(() => made.end());
    return made;
  };
  return { server, plugin };
}

test.serial('plugins follow and change pods and containers on crun', async (t) => {
  const { server, plugin } = await make(t);
  const { client, directory } = server;
  const hook = join(directory, 'hook');
  await writeScript(hook, `echo "$1 $VALUE" >"${directory}/hooked"`);
  const adjust = ContainerAdjustment.fromPartial({
    annotations: { 'example.com/by': 'plugin' },
    env: [{ key: 'ADDED', value: 'by plugin' }, { key: '-GONE' }],
    args: ['sh', '-c', 'trap "exit 7" TERM; cat /proc/self/oom_score_adj; echo $ADDED; while :; do sleep 1; done'],
    mounts: [{ destination: '/from-node', type: 'bind', source: directory, options: ['ro'] }],
    hooks: { createRuntime: [{ path: hook, args: ['hook', 'create'], env: ['VALUE=v'] }] },
    rlimits: [{ type: 'RLIMIT_NOFILE', soft: 99n, hard: 100n }],
    linux: {
      devices: [{ path: '/dev/made', type: 'c', major: 1n, minor: 5n, fileMode: { value: 0o640 } }],
      oomScoreAdj: { value: 555n },
      sysctl: { 'net.ipv4.ip_default_ttl': '77' },
      resources: { memory: { limit: { value: 2n ** 26n } }, pids: { limit: 50n } },
      seccompPolicy: {
        defaultAction: 'SCMP_ACT_ALLOW',
        syscalls: [{ names: ['mkdir', 'mkdirat'], action: 'SCMP_ACT_ERRNO', errnoRet: { value: 13 } }],
      },
    },
  });
  const first = await plugin('10-changes', { createContainer: () => ({ adjust }) });
  const pod = await server.pod('nri', {}, 'crun');
  const container = await server.sh(pod, 'c', 'replaced', { envs: [{ key: 'GONE', value: Buffer.from('1') }] });
  const sh = async (script: string) => (await server.exec(container, 'sh', '-c', script)).stdout.toString().trim();
  await server.said('nri', 'c', 'by plugin');
  t.is(await sh('echo $ADDED/$GONE'), 'by plugin/');
  t.is(await sh('ls /from-node/hook'), '/from-node/hook');
  t.is(await readFile(join(directory, 'hooked'), 'utf8'), 'create v\n');
  t.is(await sh('ulimit -n; ulimit -Hn'), '99\n100');
  t.is(await sh('stat -c "%t:%T %a" /dev/made; head -c 2 /dev/made | wc -c'), '1:5 640\n2');
  t.is(await sh('cat /proc/sys/net/ipv4/ip_default_ttl'), '77');
  t.is(await server.output('nri', 'c'), '555\nby plugin\n');
  t.is(await sh('mkdir /tmp/x 2>/dev/null || echo refused'), 'refused');
  const resources = async () => (await server.status(container)).resources?.linux;
  t.is((await resources())?.memoryLimitInBytes, 2n ** 26n);
  const { info } = await client.call(RuntimeServiceService.containerStatus, { containerId: container, verbose: true });
  const { runtimeSpec } = JSON.parse(info['info'] ?? '') as {
    runtimeSpec: { annotations: Record<string, string>; linux: { resources: { pids: unknown } } };
  };
  t.is(runtimeSpec.annotations['example.com/by'], 'plugin');
  t.deepEqual(runtimeSpec.linux.resources.pids, { limit: 50 });

  // A second plugin comes later, is told of both, and alters an update.
  const alter = LinuxResources.fromPartial({ memory: { limit: { value: 2n ** 27n } } });
  const seen: string[] = [];
  const second = await plugin('20-late', {
    synchronize: ({ pods, containers }) => {
      seen.push(...pods.map(({ id }) => id), ...containers.map(({ id, args }) => `${id} ${args.join(' ')}`));
      return {};
    },
    updateContainer: ({ container: { id = '' } = {} }) => ({
      update: [{ containerId: id, linux: { resources: alter }, ignoreFailure: false }],
    }),
  });
  t.deepEqual(seen, [pod, `${container} ${adjust.args.join(' ')}`]);
  const linux = { memoryLimitInBytes: 2n ** 25n, cpuShares: 512n };
  const update = RuntimeServiceService.updateContainerResources.requestDeserialize(Buffer.alloc(0));
  await client.call(RuntimeServiceService.updateContainerResources, {
    ...update,
    containerId: container,
    linux: LinuxContainerResources.create(linux),
  });
  t.is((await resources())?.memoryLimitInBytes, 2n ** 27n);
  t.is((await resources())?.cpuShares, 512n);
  t.is(
    await sh('cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null'),
    String(2 ** 27),
  );

  // Changes at any time, and what cannot be changed.
  const shares = LinuxResources.fromPartial({ cpu: { shares: { value: 300n } } });
  const wanted = [container, 'f'.repeat(64)].map((containerId) => {
    return { containerId, linux: { resources: shares }, ignoreFailure: false };
  });
  const { failed } = await second.update({ update: wanted });
  t.deepEqual(
    failed.map(({ containerId }) => containerId),
    ['f'.repeat(64)],
  );
  t.is((await resources())?.cpuShares, 300n);
  await second.update({ evict: [{ containerId: container, reason: 'test' }] });
  t.is((await server.exit(container)).exitCode, 7);

  // A plugin that has died does not matter, and the other one hears of the end in order.
  second.end();
  await client.call(RuntimeServiceService.removeContainer, { containerId: container });
  await client.call(RuntimeServiceService.stopPodSandbox, { podSandboxId: pod });
  await client.call(RuntimeServiceService.removePodSandbox, { podSandboxId: pod });
  const all = ['Create', 'PostCreate', 'Start', 'PostStart', 'Update', 'PostUpdate', 'Stop', 'Remove'];
  t.deepEqual(first.calls, [
    'Configure',
    'Synchronize',
    `RunPodSandbox ${pod}`,
    ...all.map((name) => `${name}Container ${container}`),
    `StopPodSandbox ${pod}`,
    `RemovePodSandbox ${pod}`,
  ]);
});

test.serial('what a plugin refuses leaves nothing behind', async (t) => {
  const { server, plugin } = await make(t);
  const { client, directory } = server;
  const refuse = () => Promise.reject(new Error('refused by the test'));
  const one = await plugin('10-strict', { runPodSandbox: refuse });
  await t.throwsAsync(server.pod('nri', {}, 'crun'), { message: /10-strict refuses RUN_POD_SANDBOX: refused/ });
  t.deepEqual(await readdir(join(directory, 'root/sandboxes')), []);
  one.answers = { createContainer: refuse, startContainer: refuse };
  const pod = await server.pod('nri', {}, 'crun');
  await t.throwsAsync(server.create(pod, 'c', {}), { message: /refuses CREATE_CONTAINER/ });
  const adjust = (linux: object) => () => ({ adjust: ContainerAdjustment.fromPartial({ linux }) });
  one.answers.createContainer = adjust({ cgroupsPath: '/elsewhere' });
  await t.throwsAsync(server.create(pod, 'c', {}), { message: /10-strict.*cgroups_path/ });
  one.answers.createContainer = () => ({
    adjust: ContainerAdjustment.fromPartial({ CDIDevices: [{ name: 'v/c=d' }] }),
  });
  await t.throwsAsync(server.create(pod, 'c', {}), { message: /NRI plugins 10-strict: CDI device not found: v\/c=d/ });
  t.deepEqual(await readdir(join(directory, 'root/containers')), []);
  // Applied by crun 1.8.7 and later; an older one would leave it out.
  one.answers = {
    createContainer: adjust({ ioPriority: { class: 2, priority: 6 }, scheduler: { policy: 4, nice: 3 } }),
  };
  const shown = { command: ['sh', '-c', 'ionice -p $$; cut -d " " -f 19,41 /proc/self/stat'] };
  const scheduled = await server.create(pod, 'scheduled', shown).catch((error: unknown) => messageOf(error));
  if (!scheduled.includes('io_priority with crun 1.8')) {
    await client.call(RuntimeServiceService.startContainer, { containerId: scheduled });
    await server.exit(scheduled);
    t.is(await server.output('nri', 'scheduled'), 'best-effort: prio 6\n3 3\n');
    await client.call(RuntimeServiceService.removeContainer, { containerId: scheduled });
  }
  one.answers = { createContainer: () => ({}), startContainer: refuse };
  const container = await server.create(pod, 'c', { command: ['sleep', '3600'] });
  const start = client.call(RuntimeServiceService.startContainer, { containerId: container });
  await t.throwsAsync(start, { message: /refuses START_CONTAINER/ });
  const { state, reason } = await server.status(container);
  t.is(state, ContainerState.CONTAINER_EXITED);
  t.is(reason, 'StartError');
  // After a restart the plugin comes again, and the server ends although it is connected.
  await server.end('SIGTERM');
  t.regex(await one.ended, /./);
  await server.start();
  const seen: string[] = [];
  await plugin('10-strict', {
    synchronize: ({ pods }) => {
      seen.push(...pods.map(({ id }) => id));
      return {};
    },
  });
  t.deepEqual(seen, [pod]);
  await eventually('the log', async () => (await server.log()).includes('NRI plugin connected'));
});

test.serial('installed plugins run with the server', async (t) => {
  const place = await mkdtemp('/tmp/nri-plugins-');
  t.teardown(() => rm(place, { recursive: true, force: true }));
  const program = join(place, '10-installed');
  const node = [process.execPath, resolve('test/lib/nri-plugin-program.ts'), join(place, 'calls')];
  await writeScript(program, `echo "$NRI_PLUGIN_IDX of $NRI_PLUGIN_NAME"; exec ${node.join(' ')}`);
  await writeScript(join(place, '20-fails'), 'exit 3');
  await writeScript(join(place, 'unnamed'), 'exit 0');
  await writeFile(join(place, 'installed.conf'), 'its configuration');
  const { server } = await make(t, `plugin_dir = "${place}"\nplugin_config_dir = "${place}"\n`);
  const calls = async () => (await readFile(join(place, 'calls'), 'utf8')).trim().split('\n');
  t.deepEqual(await calls(), ['Configure its configuration', 'Synchronize']);
  const pod = await server.pod('nri', {}, 'crun');
  t.deepEqual((await calls()).slice(2), [`RunPodSandbox ${pod}`]);
  const log = await server.log();
  t.regex(log, /"NRI plugin output".*"10 of installed"/);
  t.regex(log, /NRI plugin cannot be started.*unnamed.*must be as in/);
  t.regex(log, /"NRI plugin refused".*20-fails/);
  const pid = Number((await readFile(join(place, 'calls.pid'), 'utf8')).trim());
  await server.end('SIGTERM');
  await eventually('the end of the plugin', () => !existsSync(`/proc/${String(pid)}`));
});
