import test from 'ava';
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from '../../src/host/processes/run.ts';
import { startRegistry } from '../fixtures/registry.ts';
import { eventually } from '../lib/eventually.ts';
import { ServerFixture } from './server-fixture.ts';

const PORT = 5071;
const TINY = `127.0.0.1:${String(PORT)}/tiny:latest`;

test.serial('crictl manages images, pods and containers', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'crictl-'));
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  await run('test/fixtures/images/build', [join(directory, 'layout'), 'tiny:latest']);
  await using registry = await startRegistry(PORT, join(directory, 'registry'), join(directory, 'layout'));
  t.is(registry.address, `127.0.0.1:${String(PORT)}`);
  const server = await ServerFixture.make(t);
  const tools = (await run('test/tools/build', [])).stdout.trim().split('\n').at(-1) ?? '';
  const options = [
    '--runtime-endpoint',
    `unix://${server.socket}`,
    '--image-endpoint',
    `unix://${server.socket}`,
    '-t',
    '300s',
  ];
  const crictl = async (...args: string[]) => (await run(join(tools, 'crictl'), [...options, ...args])).stdout;
  const json = async (...args: string[]) => JSON.parse(await crictl(...args)) as Record<string, unknown>;
  const file = async (name: string, content: object) => {
    await writeFile(join(directory, name), JSON.stringify(content));
    return join(directory, name);
  };

  t.regex(await crictl('version'), /RuntimeName: {2}proxmox-lxcri\n[\s\S]*RuntimeApiVersion: {2}v1/);
  const info = await json('info');
  t.like(info, {
    status: {
      conditions: [
        { type: 'RuntimeReady', status: true },
        { type: 'NetworkReady', status: true },
      ],
    },
  });
  t.regex(await crictl('runtime-config'), /CGROUPFS|cgroupfs|1/i);

  t.regex(await crictl('pull', TINY), /Image is up to date for/);
  t.regex(await crictl('images'), /127\.0\.0\.1:5071\/tiny\s+latest/);
  const inspected = await json('inspecti', TINY);
  const { id: imageId } = inspected['status'] as { id: string };
  t.like(inspected, { status: { repoTags: [TINY] } });
  t.like(await json('inspecti', imageId.replace('sha256:', '').slice(0, 12)), { status: { id: imageId } });
  t.regex(await crictl('imagefsinfo'), /"usedBytes": \{\s*"value": "[1-9]/);

  const metadata = { name: 'web', namespace: 'default', uid: 'uid-1', attempt: 1 };
  const podFile = await file('pod.json', {
    metadata,
    log_directory: join(directory, 'logs'),
    labels: { app: 'web' },
    linux: {},
  });
  const containerFile = await file('container.json', {
    metadata: { name: 'main' },
    image: { image: TINY },
    command: ['sh', '-c', 'i=0; while :; do i=$((i+1)); echo "tick $i"; sleep 0.2; done'],
    log_path: 'main.log',
  });
  const pod = (await crictl('runp', podFile)).trim();
  t.regex(await crictl('pods'), /Ready\s+web\s+default\s+1/);
  t.like(await json('inspectp', pod.slice(0, 10)), { status: { id: pod, state: 'SANDBOX_READY', metadata } });
  const id = (await crictl('create', pod, containerFile, podFile)).trim();
  t.regex(await crictl('ps', '-a'), /Created/);
  await crictl('start', id.slice(0, 13));
  t.regex(await crictl('ps'), /Running\s+main/);
  const inspect = await json('inspect', id.slice(0, 13));
  t.like(inspect, { status: { id, state: 'CONTAINER_RUNNING' } });
  t.true((inspect['info'] as { pid: number }).pid > 0);
  t.regex(await crictl('exec', '-s', id, 'echo', 'hello there'), /^hello there\n/);
  const failing = await t.throwsAsync(crictl('exec', '-s', id, 'sh', '-c', 'exit 9'));
  t.regex(failing.message, /exit(ed)?.*9/);

  const follow = spawn(join(tools, 'crictl'), [...options, 'logs', '-f', id]);
  let followed = '';
  follow.stdout.on('data', (chunk: Buffer) => (followed += chunk.toString()));
  const ended = new Promise((resolve) => follow.once('exit', resolve));
  await eventually('three lines', () => followed.includes('tick 3\n'));
  t.regex(await crictl('logs', '--tail', '2', id), /^tick \d+\ntick \d+\n/);
  t.regex(await crictl('stats', '-o', 'json', id), /"usageCoreNanoSeconds"/);
  t.regex(await crictl('statsp', '-o', 'json', '--id', pod), /"defaultInterface"/);
  t.regex(await crictl('metricdescs'), /"container_memory_rss"/);
  t.regex(await crictl('metricsp'), /"container_memory_rss"/);
  await crictl('stop', '-t', '300', id.slice(0, 13));
  await ended;
  t.regex(followed, /^tick 1\ntick 2\ntick 3\n/);
  t.like(await json('inspect', id), { status: { state: 'CONTAINER_EXITED', exitCode: 143 } });
  t.regex(await readFile(join(directory, 'logs', 'main.log'), 'utf8'), /stdout F tick 1\n/);

  await crictl('rm', id.slice(0, 13));
  await crictl('stopp', pod.slice(0, 13));
  t.regex(await crictl('pods'), /NotReady/);
  await crictl('rmp', pod.slice(0, 13));
  t.false((await crictl('pods')).includes('web'));
  await crictl('rmi', TINY);
  t.false((await crictl('images')).includes('5071/tiny'));
});
