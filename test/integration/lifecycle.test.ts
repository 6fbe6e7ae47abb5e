import test from 'ava';
import type { ExecutionContext } from 'ava';
import { readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  ContainerEventType,
  ContainerState,
  CreateContainerRequest,
  NamespaceMode,
  RunPodSandboxRequest,
  RuntimeServiceService,
  Signal,
} from '../../api/gen/cri.ts';
import type { ContainerConfig, ContainerEventResponse } from '../../api/gen/cri.ts';
import { StatusCode } from '../../src/core/model/errors.ts';
import { HANG_MS, eventually } from '../lib/eventually.ts';
import { sharedTest } from '../lib/handlers.ts';
import { nameOf, processesBelow } from '../lib/processes.ts';
import { importImage } from './image-fixture.ts';
import { inventory, leftovers } from './leaks.ts';
import { outputOf, parseLog } from './runner-fixture.ts';
import { IMAGE, ServerFixture, oneServer } from './server-fixture.ts';
import { writeScript } from '../lib/script.ts';

const one = oneServer(test);

type Container = NonNullable<Parameters<typeof ContainerConfig.create>[0]>;

const { createContainer, removeContainer, removePodSandbox, reopenContainerLog, runPodSandbox, startContainer } =
  RuntimeServiceService;
const { stopContainer, stopPodSandbox } = RuntimeServiceService;
const { CONTAINER, POD } = NamespaceMode;
const IDLE = 'while :; do sleep 0.05; done';

const pid = (mode: NamespaceMode) => ({ linux: { securityContext: { namespaceOptions: { pid: mode } } } });

/** Names of the processes in a container's cgroup, from the host. */
async function inCgroup(server: ServerFixture, id: string): Promise<string[]> {
  const config = join(server.directory, 'state/runner/containers', id, 'config.json');
  const { linux } = JSON.parse(await readFile(config, 'utf8')) as { linux: { cgroupsPath: string } };
  return Promise.all((await processesBelow(linux.cgroupsPath)).map(nameOf));
}

function refused(t: ExecutionContext, attempt: Promise<unknown>, code: StatusCode, message: RegExp) {
  return t.throwsAsync(attempt, { code, message } as object, message.source);
}

for (const handler of ['lxc', 'crun'] as const) {
  sharedTest(handler, 'crun')(`${handler}: the request's stop signal overrides the image's`, async (t) => {
    const server = await one(t);
    await importImage(server, 'localhost/signal:1', {}, { config: { StopSignal: 'SIGUSR1' } });
    const traps = `trap 'exit 10' USR1; trap 'exit 12' USR2; trap 'exit 15' TERM; : >/ready; ${IDLE}`;
    const pod = await server.pod('signals', pid(CONTAINER), handler);
    const ends = async (name: string, config: Container, timeout = 300n) => {
      const id = await server.sh(pod, name, traps, { ...pid(CONTAINER), ...config });
      await eventually('its traps', async () => (await server.exec(id, 'test', '-e', '/ready')).exitCode === 0);
      const { stopSignal } = await server.status(id);
      await server.client.call(stopContainer, { containerId: id, timeout });
      await server.client.call(stopContainer, { containerId: id, timeout });
      const { exitCode, reason } = await server.status(id);
      return [stopSignal, exitCode, reason];
    };
    const image = { image: { image: 'localhost/signal:1' } };
    t.deepEqual(await ends('default', {}), [Signal.SIGNAL_SIGTERM, 15, 'Error']);
    t.deepEqual(await ends('image', image), [Signal.SIGNAL_SIGUSR1, 10, 'Error']);
    const requested = { stopSignal: Signal.SIGNAL_SIGUSR2 };
    t.deepEqual(await ends('request', { ...image, ...requested }), [Signal.SIGNAL_SIGUSR2, 12, 'Error']);
    t.deepEqual(await ends('at-once', {}, 0n), [Signal.SIGNAL_SIGTERM, 137, 'Error']);
    // The first process of a PID namespace receives only signals that it handles (pid_namespaces(7)).
    const deaf = await server.sh(pod, 'deaf', 'exec sleep 1000', pid(CONTAINER));
    await server.client.call(stopContainer, { containerId: deaf, timeout: 1n });
    t.is((await server.status(deaf)).exitCode, 137);
    const created = await server.create(pod, 'created', { command: ['true'], ...pid(CONTAINER) });
    await server.client.call(stopContainer, { containerId: created, timeout: 10n });
    t.like(await server.status(created), { state: ContainerState.CONTAINER_EXITED, exitCode: 137 });
    await refused(
      t,
      server.client.call(startContainer, { containerId: created }),
      StatusCode.FAILED_PRECONDITION,
      /only a created container/,
    );
  });

  test.serial(`${handler}: all processes of a container end with it`, async (t) => {
    const server = await one(t);
    const child = `setsid sh -c 'trap "" TERM HUP; ${IDLE}' & : >/ready; `;
    for (const mode of [POD, CONTAINER]) {
      const name = `m${String(mode)}`;
      const pod = await server.pod(name, pid(mode), handler);
      const stopped = await server.sh(pod, 'stopped', `trap 'exit 5' TERM; ${child} ${IDLE}`, pid(mode));
      await eventually('its trap', async () => (await server.exec(stopped, 'test', '-e', '/ready')).exitCode === 0);
      t.true((await inCgroup(server, stopped)).length > 1);
      await server.client.call(stopContainer, { containerId: stopped, timeout: 300n });
      t.is((await server.status(stopped)).exitCode, 5);
      t.deepEqual(await inCgroup(server, stopped), [], `${name}: after a stop`);

      // Its background process keeps the output open.
      const ended = await server.sh(pod, 'ended', `${child} echo said; exit 6`, pid(mode));
      t.is((await server.exit(ended)).exitCode, 6);
      t.is(await server.output(name, 'ended'), 'said\n');
      await eventually('an empty cgroup', async () => (await inCgroup(server, ended)).length === 0);

      const first = await server.sh(pod, 'first', IDLE, pid(mode));
      // Right after its start a process is still the runtime's.
      const expected = mode === CONTAINER ? /^sh\n$/ : /^(init|catatonit)\n$/;
      await eventually('its first process', async () =>
        expected.test((await server.exec(first, 'cat', '/proc/1/comm')).stdout.toString()),
      );
      if (mode === POD) {
        // The pod's first process reaps orphans.
        await server.exec(first, 'sh', '-c', '(sleep 0.01 &) ; true');
        await eventually('no zombie', async () => {
          const { stdout } = await server.exec(first, 'sh', '-c', 'grep -l "^State:.Z" /proc/[0-9]*/status | wc -l');
          return stdout.toString().trim() === '0';
        });
      }
      await server.client.call(removePodSandbox, { podSandboxId: pod });
    }
  });

  sharedTest(handler, 'lxc')(`${handler}: ExecSync returns when its command exits`, async (t) => {
    const server = await one(t);
    const pod = await server.pod('exec', {}, handler);
    const id = await server.sh(pod, 'c', IDLE);
    const { stdout, exitCode } = await server.exec(id, 'sh', '-c', 'sleep 1000 & echo said; exit 4');
    t.deepEqual([stdout.toString(), exitCode], ['said\n', 4]);
    const slow = await server.exec(id, 'sh', '-c', '(sleep 0.2; echo later) & echo first');
    t.regex(slow.stdout.toString(), /^first\n/);
    t.is((await server.exec(id, 'sh', '-c', 'kill -9 $$')).exitCode, 137);
  });

  sharedTest(handler, 'crun')(`${handler}: a failed start reports code 128 and StartError`, async (t) => {
    const server = await ServerFixture.make(t);
    const runtime = join(server.directory, 'runtime');
    const script = `
for word; do
  if [ "$word" = start ]; then echo "the moon is in the wrong phase" >&2; exit 1; fi
done
exec crun "$@"
`;
    await writeScript(runtime, script);
    const config = join(server.directory, 'config.toml');
    const usual = await readFile(config, 'utf8');
    const use = async (text: string) => {
      await server.end('SIGTERM');
      await writeFile(config, text);
      await server.start();
    };
    await use(usual.replace('[runtime]', `[runtime]\noci_runtime = "${runtime}"`));
    const pod = await server.pod('broken', {}, handler);
    const id = await server.create(pod, 'c', { command: ['true'] });
    const start = () => server.client.call(startContainer, { containerId: id });
    await refused(t, start(), StatusCode.UNKNOWN, /cannot start container .*the moon is in the wrong phase/);
    const { state, exitCode, reason, message, startedAt, finishedAt } = await server.status(id);
    t.deepEqual([state, exitCode, reason], [ContainerState.CONTAINER_EXITED, 128, 'StartError']);
    t.regex(message, /the moon is in the wrong phase/);
    t.true(startedAt > 0n && finishedAt >= startedAt);
    await refused(t, start(), StatusCode.FAILED_PRECONDITION, /is exited/);
    t.deepEqual(await inCgroup(server, id), []);
    await server.end('SIGKILL');
    await use(usual);
    t.like(await server.status(id), { exitCode: 128, reason: 'StartError', message });
    await server.client.call(removeContainer, { containerId: id });

    // A missing program fails at create, an invalid one at start.
    await refused(t, server.sh(pod, 'missing', '', { command: ['/none'] }), StatusCode.UNKNOWN, /\/none/);
    const text = '\x7fELF no program';
    await importImage(server, 'localhost/broken:1', { '/broken': { mode: 0o755, owner: 0, text } });
    const image = { image: { image: 'localhost/broken:1' } };
    t.is((await server.exit(await server.sh(pod, 'format', '', { command: ['/broken'], ...image }))).exitCode, 1);
    t.regex(await server.output('broken', 'format', 'stderr'), /exec format error/i);
    t.deepEqual((await server.containers()).containers.length, 1);
  });

  sharedTest(handler, 'lxc')(`${handler}: removing a running container sends STOPPED, then DELETED`, async (t) => {
    const server = await one(t);
    const pod = await server.pod('gone', {}, handler);
    const id = await server.sh(pod, 'c', IDLE);
    const end = new AbortController();
    const stream = server.client.stream(RuntimeServiceService.getContainerEvents, {}, end.signal);
    const seen: [ContainerEventType, number | undefined][] = [];
    stream.on('error', () => undefined);
    stream.on('data', (event: ContainerEventResponse) => {
      const status = event.containersStatuses.find((one) => one.id === event.containerId);
      seen.push([event.containerEventType, status?.exitCode]);
    });
    // Events are sent from the call on: an event of another container shows that the stream is open.
    for (let turn = 0; seen.length === 0; turn++)
      await server.create(pod, `probe${String(turn)}`, { command: ['true'] });
    seen.length = 0;
    await server.client.call(removeContainer, { containerId: id });
    await eventually('the event', () => seen.some(([type]) => type === ContainerEventType.CONTAINER_DELETED_EVENT));
    end.abort();
    t.deepEqual(
      seen.filter(([type]) => type !== ContainerEventType.CONTAINER_CREATED_EVENT),
      [
        [ContainerEventType.CONTAINER_STOPPED_EVENT, 137],
        [ContainerEventType.CONTAINER_DELETED_EVENT, undefined],
      ],
    );
  });

  test.serial(`${handler}: repeated requests return the first result after SIGKILL`, async (t) => {
    const server = await one(t);
    const request = RunPodSandboxRequest.create({ config: server.podConfig('again'), runtimeHandler: handler });
    const { podSandboxId } = await server.client.call(runPodSandbox, request);
    const container = CreateContainerRequest.create({
      podSandboxId,
      config: {
        metadata: { name: 'c' },
        image: { image: IMAGE },
        command: ['sleep', '1000'],
        envs: [{ key: 'BYTES', value: Buffer.from('bytes: é') }],
        linux: { resources: { cpuShares: 512n } },
      },
    });
    const { containerId } = await server.client.call(createContainer, container);
    for (const signal of [undefined, 'SIGKILL', 'SIGTERM'] as const) {
      if (signal !== undefined) {
        await server.end(signal);
        await server.start();
      }
      t.is((await server.client.call(runPodSandbox, request)).podSandboxId, podSandboxId);
      t.is((await server.client.call(createContainer, container)).containerId, containerId);
    }
    await server.client.call(startContainer, { containerId });
    await refused(
      t,
      server.client.call(createContainer, container),
      StatusCode.ALREADY_EXISTS,
      new RegExp(containerId),
    );
    await server.client.call(stopPodSandbox, { podSandboxId });
    await refused(t, server.client.call(runPodSandbox, request), StatusCode.ALREADY_EXISTS, new RegExp(podSandboxId));
    await server.client.call(removePodSandbox, { podSandboxId });
    t.not((await server.client.call(runPodSandbox, request)).podSandboxId, podSandboxId);
  });

  test.serial(`${handler}: concurrent stop and remove leave nothing`, async (t) => {
    const server = await one(t);
    const { client } = server;
    await server.warm();
    const before = await inventory(server);
    for (let turn = 0; turn < 6; turn++) {
      const pod = await server.pod(`t${String(turn)}`, pid(turn % 2 === 0 ? POD : CONTAINER), handler);
      const config: Container = { command: ['sleep', '1000'], ...pid(turn % 2 === 0 ? POD : CONTAINER) };
      const ids = await Promise.all(['a', 'b', 'c'].map((name) => server.create(pod, name, config)));
      const [stopped = '', removed = '', third = ''] = ids;
      const start = (containerId: string) => client.call(startContainer, { containerId });
      const late = server.create(pod, 'late', config);
      const [first, , second] = await Promise.allSettled([
        start(stopped),
        client.call(stopContainer, { containerId: stopped, timeout: 0n }),
        start(removed),
        client.call(removeContainer, { containerId: removed }),
        ...(turn < 3 ? [start(third)] : []),
        client.call(stopPodSandbox, { podSandboxId: pod }),
        late,
      ]);
      t.like(await server.status(stopped), { state: ContainerState.CONTAINER_EXITED, exitCode: 137 });
      t.is(first.status, 'fulfilled');
      t.is(second.status, 'fulfilled');
      await t.throwsAsync(server.status(removed), { code: StatusCode.NOT_FOUND } as object);
      t.true((await server.containers()).containers.every(({ state }) => state === ContainerState.CONTAINER_EXITED));
      await client.call(removePodSandbox, { podSandboxId: pod });
    }
    await rm(join(server.directory, 'logs'), { recursive: true, force: true });
    t.deepEqual(await leftovers(server, before), []);
  });

  sharedTest(handler, 'crun')(`${handler}: log rotation keeps partial lines and raw bytes`, async (t) => {
    const server = await one(t);
    const pod = await server.pod('logs', {}, handler);
    const log = join(server.directory, 'logs/logs/fast.log');
    // A thousand lines every five milliseconds, or as fast as the monitor reads them.
    const script =
      'i=0; until [ -e /stop ]; do seq $((i * 1000 + 1)) $((i * 1000 + 1000)); i=$((i + 1)); usleep 5000; done';
    const id = await server.sh(pod, 'fast', script);
    const pieces: string[] = [];
    for (let turn = 0; turn < 15; turn++) {
      // Some lines each, so that a lost one is noticed.
      await eventually('lines', async () => (await stat(log)).size > 20_000);
      const piece = `${log}.${String(turn)}`;
      await rename(log, piece);
      pieces.push(piece);
      await server.client.call(reopenContainerLog, { containerId: id }, { timeoutMs: HANG_MS });
    }
    await server.exec(id, 'touch', '/stop');
    t.is((await server.exit(id)).exitCode, 0);
    const texts = await Promise.all([...pieces, log].map((path) => readFile(path)));
    const logged = outputOf(
      texts.flatMap((text) => parseLog(text)),
      'stdout',
    ).toString();
    const lines = logged.split('\n').length - 1;
    t.is(lines % 1000, 0, String(lines));
    t.true(logged === Array.from({ length: lines }, (_, at) => `${String(at + 1)}\n`).join(''), 'every line once');

    const oddities =
      'i=0; while [ $i -lt 20000 ]; do printf x; i=$((i+1)); done; echo; printf "\\377\\000\\200\\r\\n"; printf end';
    const odd = await server.sh(pod, 'odd', oddities);
    t.is((await server.exit(odd)).exitCode, 0);
    const parsed = parseLog(await readFile(join(server.directory, 'logs/logs/odd.log')));
    const bytes = Buffer.concat([
      Buffer.from(`${'x'.repeat(20_000)}\n`),
      Buffer.from([255, 0, 128, 13, 10]),
      Buffer.from('end\n'),
    ]);
    t.deepEqual(outputOf(parsed, 'stdout'), bytes);
    t.deepEqual([parsed.at(-2)?.tag, parsed.at(-1)?.tag], ['P', 'F'], 'the last line is closed');
  });
}
