import { appendFile, readdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import {
  Container,
  ContainerState,
  ContainerStatus,
  type CreateContainerRequest,
  Image,
  type ImageStatusRequest,
  PodSandbox,
  type PodSandboxStatusRequest,
  type RunPodSandboxRequest,
  type StopContainerRequest,
} from '../../../api/gen/cri.ts';
import type { CliSignal } from '../../../src/cli/command.ts';
import { cli } from './harness.ts';
import { type Answer, scriptedServer } from './scripted-server.ts';

const ID = 'c'.repeat(64);
const POD = 'f'.repeat(64);
const TIME = '2026-11-23T17:00:00.000000000+00:00';

test('Connection errors name the remedy', async (t) => {
  const { directory } = await scriptedServer(t, {});
  const address = `unix://${directory}/none.sock`;
  const { code, stdout, stderr } = await cli(['ps', '--address', address]);
  t.deepEqual({ code, stdout }, { code: 1, stdout: '' });
  t.true(
    stderr.startsWith(`proxmox-lxcri: no server listens on ${address} (ENOENT); start it with "proxmox-lxcri serve"`),
  );
  t.is(stderr.split('\n').length, 2);

  const mute = createServer((socket) => socket.end());
  await new Promise<void>((resolve) => mute.listen(join(directory, 'mute.sock'), resolve));
  t.teardown(() => mute.close());
  t.is((await cli(['ps', '--address', `unix://${directory}/mute.sock`])).code, 1);
});

test('The server is named by option, path or environment', async (t) => {
  const { address, directory } = await scriptedServer(t, lists);
  const path = address.slice('unix://'.length);
  const config = join(directory, 'config.toml');
  await writeFile(config, `[grpc]\nlisten = "${address}"\n[unknown]\n`);
  const none = { CONTAINER_RUNTIME_ENDPOINT: 'unix:///nowhere.sock' };
  for (const [argv, env] of [
    [['--address', address, 'pods', '-q'], none],
    [[`--address=${path}`, 'pods', '-q'], none],
    [['pods', '-q', '--address', path], none],
    [['--config', config, 'pods', '-q'], none],
    [['pods', '-q'], { CONTAINER_RUNTIME_ENDPOINT: address }],
    [['pods', '-q'], { CONTAINER_RUNTIME_ENDPOINT: path }],
  ] as const) {
    t.deepEqual(await cli(argv, { env }), { code: 0, stdout: `${POD}\n`, stderr: '' }, argv.join(' '));
  }
  t.is((await cli(['ps', '--names', '-a', '--address', path])).stdout, 'web\ndb\n');
  t.is((await cli(['pods', '--names', '--address', path])).stdout, 'app\n');
});

test('Errors of the server are printed on one line', async (t) => {
  const { address } = await scriptedServer(t, {
    pullImage: () => {
      throw Object.assign(new Error(), { code: status.UNAVAILABLE, details: 'registry x is away\u001b[2J' });
    },
  });
  const { code, stderr } = await cli(['pull', '--address', address, 'x/y']);
  t.is(code, 1);
  t.is(stderr, 'Pulling x/y\nproxmox-lxcri: registry x is away\\e[2J\n');
});

const containers = [
  Container.create({ id: `aa${'0'.repeat(62)}`, metadata: { name: 'web' }, state: ContainerState.CONTAINER_EXITED }),
  Container.create({ id: `ab${'0'.repeat(62)}`, metadata: { name: 'web' }, state: ContainerState.CONTAINER_RUNNING }),
  Container.create({ id: `ac${'0'.repeat(62)}`, metadata: { name: 'db' }, podSandboxId: POD }),
];
const lists: Record<string, Answer> = {
  listContainers: () => ({ containers }),
  listPodSandbox: () => ({ items: [PodSandbox.create({ id: POD, metadata: { name: 'app', namespace: 'default' } })] }),
};

test('Lists are tables, JSON or ids', async (t) => {
  const images = [
    Image.create({ id: 'sha256:12', repoTags: ['b:5000/x:1', 'a/y:2'], size: 2048n }),
    Image.create({ id: 'sha256:34', repoDigests: ['z@sha256:56'], size: 1n }),
  ];
  const { address } = await scriptedServer(t, { ...lists, listImages: () => ({ images }) });
  const list = async (...argv: string[]) => (await cli([...argv, '--address', address])).stdout;
  t.regex(await list('ps', '-a'), /^CONTAINER +IMAGE.*\n(a.*\n){3}$/);
  t.regex(await list('ps', '-a'), /ac00000000000 .* db +0 +fffffffffffff +app\n/);
  t.is(await list('pods', '-q'), `${POD}\n`);
  t.deepEqual(
    (await list('images'))
      .trim()
      .split(/\n/)
      .map((line) => line.split(/ {2,}/)),
    [
      ['IMAGE', 'TAG', 'IMAGE ID', 'SIZE'],
      ['a/y', '2', '12', '2.0 KiB'],
      ['b:5000/x', '1', '12', '2.0 KiB'],
      ['z', '-', '34', '1 B'],
    ],
  );
  t.is(await list('images', '--names'), 'b:5000/x:1\na/y:2\n');
  const json = JSON.parse(await list('images', '-o', 'json')) as { images: { size: string }[] };
  t.is(json.images[0]?.size, '2048');
});

test('pods --wide prints choices and guests', async (t) => {
  const [gone, guest] = ['e'.repeat(64), '9'.repeat(64)];
  const items = [POD, guest, gone].map((id) =>
    PodSandbox.create({ id, metadata: { name: 'app' }, runtimeHandler: 'lxc' }),
  );
  const { address } = await scriptedServer(t, {
    listPodSandbox: () => ({ items }),
    podSandboxStatus: ({ podSandboxId }: PodSandboxStatusRequest) => {
      if (podSandboxId === gone) throw Object.assign(new Error(), { code: status.NOT_FOUND });
      const known = podSandboxId === guest ? { vmid: 100_007, node: 'pve1', origin: 'warm pool' } : {};
      return { info: { info: JSON.stringify({ handlerChosenBy: 'routing[2] (web)', ...known }) } };
    },
  });
  const { stdout } = await cli(['pods', '--wide', '--address', address]);
  t.deepEqual(
    stdout.split('\n').map((line) => line.split(/ {2,}/).slice(-5).join('|')),
    [
      'HANDLER|CHOSEN BY|VMID|NODE|ORIGIN',
      'lxc|routing[2] (web)|-|-|-',
      'lxc|routing[2] (web)|100007|pve1|warm pool',
      'lxc|-|-|-|-',
      '',
    ],
  );
});

test('Objects are found by unique id prefix or name', async (t) => {
  const stopped: string[] = [];
  const { address } = await scriptedServer(t, {
    ...lists,
    stopContainer: ({ containerId }: StopContainerRequest) => stopped.push(containerId) && {},
    stopPodSandbox: () => ({}),
  });
  const stop = (...words: string[]) => cli(['stop', '--address', address, ...words]);
  t.is((await stop('ab', 'web', 'db', 'app')).code, 0);
  t.deepEqual(stopped, [containers[1]?.id ?? '', containers[1]?.id ?? '', containers[2]?.id ?? '']);
  t.regex((await stop('nope')).stderr, /container or pod "nope" not found/);
  t.regex((await stop('a')).stderr, /not found/);
  const many = await scriptedServer(t, {
    listContainers: () => ({
      containers: containers.slice(0, 1).concat({ ...containers[0]!, id: `aa${'1'.repeat(62)}` }),
    }),
    listPodSandbox: () => ({ items: [] }),
  });
  t.regex(
    (await cli(['stop', '--address', many.address, 'web'])).stderr,
    /"web": is ambiguous: container aa0000.*aa1111/,
  );
});

test('rm refuses running containers without --force', async (t) => {
  const { address, methods } = await scriptedServer(t, {
    ...lists,
    containerStatus: () => ({ status: ContainerStatus.create({ state: ContainerState.CONTAINER_RUNNING }) }),
    stopContainer: () => ({}),
    removeContainer: () => ({}),
  });
  t.regex((await cli(['rm', '--address', address, 'ab'])).stderr, /is running; stop it first, or use --force/);
  t.false(methods().includes('removeContainer'));
  t.is((await cli(['rm', '-f', '--address', address, 'ab'])).code, 0);
  t.deepEqual(methods().slice(-2), ['stopContainer', 'removeContainer']);
});

test('exec --timeout returns the output and exit code', async (t) => {
  const { address, calls } = await scriptedServer(t, {
    ...lists,
    execSync: () => ({ stdout: Buffer.from('out'), stderr: Buffer.from('err'), exitCode: 7 }),
  });
  t.deepEqual(await cli(['exec', '--timeout', '7', '--address', address, 'db', '--', 'sh', '-c', 'x']), {
    code: 7,
    stdout: 'out',
    stderr: 'err',
  });
  t.like(calls.at(-1), { request: { containerId: containers[2]?.id, cmd: ['sh', '-c', 'x'], timeout: 7n } });
});

/** A server that "runs" containers: StartContainer writes `log` to the log file; `stop` decides how they end. */
async function runServer(t: ExecutionContext, answers: Record<string, Answer>, log = '') {
  const state = {
    pods: new Set<string>(),
    logPath: '',
    exit: undefined as number | undefined,
    request: undefined as RunPodSandboxRequest | undefined,
  };
  const server = await scriptedServer(t, {
    imageStatus: () => ({ image: Image.create({ id: 'sha256:1' }) }),
    runPodSandbox: (request: RunPodSandboxRequest) => {
      state.pods.add(POD);
      state.request = request;
      return { podSandboxId: POD };
    },
    createContainer: ({ config, sandboxConfig }: CreateContainerRequest) => {
      state.logPath = join(sandboxConfig?.logDirectory ?? '', config?.logPath ?? '');
      return { containerId: ID };
    },
    startContainer: async () => {
      await appendFile(state.logPath, log);
      return {};
    },
    containerStatus: () => {
      const { exit } = state;
      const phase = exit === undefined ? ContainerState.CONTAINER_RUNNING : ContainerState.CONTAINER_EXITED;
      return { status: ContainerStatus.create({ id: ID, state: phase, exitCode: exit ?? 0 }) };
    },
    stopContainer: () => {
      state.exit = 143;
      return {};
    },
    listPodSandbox: () => ({ items: [...state.pods].map((id) => PodSandbox.create({ id })) }),
    stopPodSandbox: () => ({}),
    removePodSandbox: ({ podSandboxId }: { podSandboxId: string }) => state.pods.delete(podSandboxId) && {},
    ...answers,
  });
  const leftOvers = async () => {
    const directory = basename(state.request?.config?.logDirectory ?? '');
    const directories = (await readdir(tmpdir())).filter((name) => name === directory);
    return [...state.pods, ...directories];
  };
  return { ...server, state, leftOvers };
}

test('run returns output and exit code and leaves nothing', async (t) => {
  const log = `${TIME} stdout P a\n${TIME} stderr F e\n${TIME} stdout F b\n`;
  const { address, state, leftOvers, methods, calls } = await runServer(t, {}, log);
  state.exit = 3;
  const argv = [
    'run',
    '--address',
    address,
    '--name',
    'n',
    '-e',
    'A=b',
    '--memory',
    '64M',
    '--cpus',
    '0.5',
    '-v',
    '/a:/b:ro',
  ];
  t.deepEqual(await cli([...argv, '--handler', 'crun', 'image', '--', 'sh', '-c', 'x']), {
    code: 3,
    stdout: 'ab\n',
    stderr: 'e\n',
  });
  t.deepEqual(await leftOvers(), []);
  t.false(methods().includes('pullImage'));
  t.like(
    calls.find(({ method }) => method === 'createContainer'),
    {
      request: {
        config: {
          args: ['sh', '-c', 'x'],
          envs: [{ key: 'A', value: Buffer.from('b') }],
          linux: { resources: { memoryLimitInBytes: 67_108_864n, cpuQuota: 50_000n, cpuPeriod: 100_000n } },
        },
      },
    },
  );
  t.is(state.request?.runtimeHandler, 'crun');
});

test('run --pull controls when an image is pulled', async (t) => {
  const status = ({ image }: ImageStatusRequest) =>
    image?.image === 'sha256:1' ? { image: Image.create({ id: 'sha256:1', size: 2048n }) } : {};
  const absent = { imageStatus: status, pullImage: () => ({ imageRef: 'sha256:1' }) };
  const run = async (answers: Record<string, Answer>, when: string) => {
    const server = await runServer(t, answers);
    server.state.exit = 0;
    const outcome = await cli(['run', '--address', server.address, '--pull', when, 'image']);
    return { ...outcome, pulled: server.methods().includes('pullImage') };
  };
  const missing = await run(absent, 'missing');
  t.like(missing, { code: 0, pulled: true });
  t.regex(missing.stderr, /^Pulling image\nPulled image: 2\.0 KiB in \d+\.\d s\n$/);
  t.like(await run({ pullImage: absent.pullImage }, 'always'), { code: 0, pulled: true });
  const never = await run(absent, 'never');
  t.like(never, { code: 125, pulled: false });
  t.regex(never.stderr, /image "image" not found/);
});

for (const failing of ['runPodSandbox', 'createContainer', 'startContainer', 'containerStatus']) {
  test(`run leaves nothing when ${failing} fails`, async (t) => {
    const server = await runServer(t, {
      [failing]: () => {
        server.state.pods.add(POD); // RPCs of a server that fail late.
        throw Object.assign(new Error(), { code: status.UNKNOWN, details: 'broken' });
      },
    });
    const { code, stderr } = await cli(['run', '--address', server.address, 'image']);
    t.is(code, 125);
    t.is(stderr, 'proxmox-lxcri: broken\n');
    t.deepEqual(await server.leftOvers(), []);
  });
}

test('The first signal stops the container, the second kills', async (t) => {
  const graces: bigint[] = [];
  const server = await runServer(
    t,
    {
      stopContainer: ({ timeout }: StopContainerRequest) => {
        graces.push(timeout);
        if (timeout === 0n) server.state.exit = 137;
        return {};
      },
    },
    `${TIME} stdout F up\n`,
  );
  let send: (signal: CliSignal) => void = () => undefined;
  const outcome = await cli(['run', '--address', server.address, 'image'], {
    signals: (sender) => (send = sender),
    onStdout: () => {
      send('SIGINT');
      send('SIGTERM');
    },
  });
  t.deepEqual(outcome, { code: 137, stdout: 'up\n', stderr: '' });
  t.deepEqual(graces.sort(), [0n, 10n]);
  t.deepEqual(await server.leftOvers(), []);
});

test('A signal before the start ends run with 128+n', async (t) => {
  let send: (signal: CliSignal) => void = () => undefined;
  const server = await runServer(t, {
    createContainer: () => {
      send('SIGTERM');
      return { containerId: ID };
    },
  });
  const outcome = await cli(['run', '--address', server.address, 'image'], { signals: (sender) => (send = sender) });
  t.deepEqual(outcome, { code: 143, stdout: '', stderr: '' });
  t.false(server.methods().includes('startContainer'));
  t.deepEqual(await server.leftOvers(), []);
});

test('run --timeout stops the container and exits with 124', async (t) => {
  const server = await runServer(t, {});
  t.is((await cli(['run', '--address', server.address, '--timeout', '1', 'image'])).code, 124);
  t.true(server.methods().includes('stopContainer'));
  t.deepEqual(await server.leftOvers(), []);
});

test('rm removes a container with its pod and log', async (t) => {
  const labelled = () => [Container.create({ id: ID, podSandboxId: POD, labels: { 'proxmox-lxcri/run': 'x' } })];
  const server = await runServer(t, {
    listContainers: () => ({ containers: labelled() }),
    containerStatus: () => ({
      status: ContainerStatus.create({ state: ContainerState.CONTAINER_EXITED, logPath: server.state.logPath }),
    }),
  });
  t.is((await cli(['run', '--keep', '--address', server.address, 'image'])).code, 0);
  t.is((await server.leftOvers()).length, 2);
  t.is((await cli(['rm', '--address', server.address, ID])).stdout, `${ID}\n`);
  t.deepEqual(await server.leftOvers(), []);
});
