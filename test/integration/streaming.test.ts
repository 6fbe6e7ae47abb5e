import test from 'ava';
import type { ExecutionContext } from 'ava';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { AttachRequest, ExecRequest, PortForwardRequest, RuntimeServiceService } from '../../api/gen/cri.ts';
import { run } from '../../src/utils/process/run.ts';
import { ServerFixture } from './server-fixture.ts';
import { ChannelClient } from './streaming-client.ts';

type ExecFields = Parameters<typeof ExecRequest.create>[0];

async function execUrl(server: ServerFixture, containerId: string, cmd: string[], fields: ExecFields = {}) {
  const request = ExecRequest.create({ containerId, cmd, stdout: true, ...fields });
  return (await server.client.call(RuntimeServiceService.exec, request)).url;
}

async function attachUrl(server: ServerFixture, containerId: string, fields: ExecFields = {}) {
  const request = AttachRequest.create({ containerId, stdin: true, stdout: true, ...fields });
  return (await server.client.call(RuntimeServiceService.attach, request)).url;
}

async function crictlOf(server: ServerFixture) {
  const tools = (await run('test/tools/build', [])).stdout.trim().split('\n').at(-1) ?? '';
  return { program: join(tools, 'crictl'), options: ['--runtime-endpoint', `unix://${server.socket}`, '-t', '30s'] };
}

/** Runs crictl with input; its end does not matter. */
async function crictl(server: ServerFixture, args: string[], input = '') {
  const { program, options } = await crictlOf(server);
  const child = spawn(program, [...options, ...args], { stdio: ['pipe', 'pipe', 'pipe'] });
  child.stdin.end(input);
  const [stdout, stderr, end] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')]);
  return { stdout, stderr, code: end[0] as number };
}

for (const handler of ['lxc', 'crun']) {
  test.serial(`exec, attach and port-forward by crictl over both transports: ${handler}`, async (t) => {
    const server = await ServerFixture.make(t);
    const pod = await server.pod('web', {}, handler);
    const page = 'mkdir /www; echo the page > /www/index.html; httpd -p 127.0.0.1:8080 -h /www; cat';
    const id = await server.sh(pod, 'main', page, {
      stdin: true,
      envs: [{ key: 'COLOUR', value: Buffer.from('blue') }],
    });
    for (const transport of ['spdy', 'websocket']) {
      const exec = (args: string[], input = '') => crictl(server, ['exec', '-r', transport, ...args], input);
      const simple = await exec([id, 'sh', '-c', 'echo "$COLOUR"; echo problem >&2']);
      t.like(simple, { stdout: 'blue\n', code: 0 }, transport);
      t.regex(simple.stderr, /problem/);
      t.is((await exec(['-i', id, 'sh', '-c', 'wc -c; echo done'], 'x'.repeat(1_000_000))).stdout, '1000000\ndone\n');
      const failing = await exec([id, 'sh', '-c', 'exit 42']);
      t.regex(failing.stderr, /exit code 42/);
      t.regex((await exec([id, 'no-such-program'])).stderr, /no-such-program/);
      t.is(await forwarded(t, server, pod, transport, 8080), 'the page\n');
    }
  });
}

/** The page behind crictl's port-forward. */
async function forwarded(t: ExecutionContext, server: ServerFixture, pod: string, transport: string, port: number) {
  const { program, options } = await crictlOf(server);
  const child = spawn(program, [...options, 'port-forward', '-r', transport, pod, `0:${String(port)}`]);
  t.teardown(() => child.kill());
  // Read on to the end: a broken pipe would end crictl.
  const local = await new Promise<number>((resolve) => {
    child.stdout.on('data', (chunk: Buffer) => {
      const port = /127\.0\.0\.1:(\d+)/.exec(chunk.toString())?.[1];
      if (port !== undefined) resolve(Number(port));
    });
  });
  const socket = connect({ host: '127.0.0.1', port: local });
  socket.write('GET /index.html HTTP/1.0\r\n\r\n');
  const answer = await text(socket);
  const ended = once(child, 'exit');
  t.is(child.exitCode, null, 'crictl goes on for the next connection');
  child.kill('SIGINT');
  await ended;
  return answer.split('\r\n\r\n')[1];
}

test.serial(
  'a terminal has a size that changes, a controlling terminal and the container user; it loses no output',
  async (t) => {
    const server = await ServerFixture.make(t);
    const id = await server.sh(await server.pod('tty'), 'main', 'sleep 1000', {
      workingDir: '/tmp',
      linux: {
        securityContext: { runAsUser: { value: 1000n }, runAsGroup: { value: 1001n }, supplementalGroups: [1002n] },
      },
    });
    const url = await execUrl(server, id, ['sh'], { tty: true, stdin: true });
    const shell = await ChannelClient.open(url);
    shell.send(4, '{"Width":91,"Height":33}');
    await sleep(200);
    shell.send(0, 'stty size; id; pwd; tty\n');
    await shell.until(1, /33 91\r\n[^]*uid=1000 gid=1001 groups=1001,1002\r\n[^]*\/tmp\r\n\/dev\/pts\/\d/);
    shell.send(4, '{"Width":120,"Height":50}');
    await sleep(200);
    shell.send(0, 'stty size\n');
    await shell.until(1, /50 120\r\n/);
    shell.send(0, 'sleep 1000\n');
    await sleep(300);
    shell.send(0, '\x03');
    await sleep(300);
    shell.send(0, 'exit 9\n');
    t.like(await shell.status(), {
      reason: 'NonZeroExitCode',
      details: { causes: [{ reason: 'ExitCode', message: '9' }] },
    });

    for (let i = 0; i < 20; i++) {
      const quick = await ChannelClient.open(await execUrl(server, id, ['seq', '1', '2000'], { tty: true }));
      t.like(await quick.status(), { status: 'Success' });
      t.true(quick.text(1).endsWith('1999\r\n2000\r\n'), `output ${String(i)} is whole`);
    }
  },
);

test.serial('a command dies with its client, with all it started; a URL works once', async (t) => {
  const server = await ServerFixture.make(t);
  const id = await server.sh(await server.pod('lost'), 'main', 'sleep 1000');
  const count = async () =>
    (await server.exec(id, 'sh', '-c', 'ps | grep -c "slee[p] 777"; true')).stdout.toString().trim();
  for (const tty of [false, true]) {
    const url = await execUrl(server, id, ['sh', '-c', 'sleep 777 & sleep 777 & echo up; wait'], { tty });
    const client = await ChannelClient.open(url);
    await client.until(1, /up/);
    t.is(await count(), '3', 'the shell and what it started');
    await t.throwsAsync(ChannelClient.open(url), { message: /404/ });
    client.ws.terminate();
    for (let i = 0; i < 100 && (await count()) !== '0'; i++) await sleep(50);
    t.is(await count(), '0', `terminal: ${String(tty)}`);
  }
  const refused = await t.throwsAsync(execUrl(server, id, ['true'], { tty: true, stderr: true }));
  t.regex(refused.message, /tty and stderr cannot both be true/);
  await t.throwsAsync(execUrl(server, id, ['true'], { stdout: false }), { message: /one of stdin, stdout, or stderr/ });
});

test.serial(
  'several attach at once, also after a restart of the server; the end of the container ends them',
  async (t) => {
    const server = await ServerFixture.make(t);
    const id = await server.sh(
      await server.pod('attach'),
      'main',
      'while read -r line; do echo "got $line"; echo bad >&2; done; exit 3',
      {
        stdin: true,
      },
    );
    const first = await ChannelClient.open(await attachUrl(server, id, { stderr: true }));
    const second = await ChannelClient.open(await attachUrl(server, id, { stdin: false }));
    await sleep(300);
    first.send(0, 'one\n');
    await Promise.all([first.until(1, /^got one\n$/), first.until(2, /^bad\n$/), second.until(1, /^got one\n$/)]);
    t.is(second.text(2), '');
    first.ws.terminate();
    await server.end('SIGKILL');
    await server.start();
    const third = await ChannelClient.open(await attachUrl(server, id));
    await sleep(300);
    third.send(0, 'two\n');
    await third.until(1, /^got two\n$/);
    await server.client.call(RuntimeServiceService.stopContainer, { containerId: id, timeout: 0n });
    t.like(await third.status(), { status: 'Success' });
  },
);

test.serial(
  'with StdinOnce the end of the first input is the end of the container input; a terminal can be attached',
  async (t) => {
    const server = await ServerFixture.make(t);
    const pod = await server.pod('once');
    const once = await server.sh(pod, 'once', 'cat; echo over', { stdin: true, stdinOnce: true });
    const client = await ChannelClient.open(await attachUrl(server, once));
    await sleep(300);
    client.send(0, 'all of it\n');
    client.endInput();
    t.like(await client.status(), { status: 'Success' });
    t.is(client.text(1), 'all of it\nover\n');
    t.is((await server.exit(once)).exitCode, 0);

    const tty = await server.create(pod, 'tty', { command: ['sh'], stdin: true, tty: true });
    await server.client.call(RuntimeServiceService.startContainer, { containerId: tty });
    const shell = await ChannelClient.open(await attachUrl(server, tty, { tty: true }));
    shell.send(4, '{"Width":77,"Height":22}');
    await sleep(300);
    shell.send(0, 'stty size\n');
    await shell.until(1, /22 77\r\n/);
  },
);

test.serial(
  'port-forward reaches IPv4 and IPv6, pods on the host network, and tells a port nobody listens on',
  async (t) => {
    const server = await ServerFixture.make(t);
    const pod = await server.pod('ports');
    await server.sh(pod, 'six', 'mkdir /six; echo six > /six/index.html; httpd -f -p [::1]:8086 -h /six');
    const host = await server.pod('host', {
      linux: { securityContext: { namespaceOptions: { network: 2 } } },
    });
    await server.sh(host, 'host', 'mkdir /h; echo host > /h/index.html; httpd -f -p 127.0.0.1:18087 -h /h');
    await sleep(500);
    const urlOf = async (podSandboxId: string, port: number) => {
      const request = PortForwardRequest.create({ podSandboxId, port: [port] });
      return (await server.client.call(RuntimeServiceService.portForward, request)).url;
    };
    const page = async (podSandboxId: string, port: number) => {
      const client = await ChannelClient.open(await urlOf(podSandboxId, port), 'v4.channel.k8s.io');
      client.send(0, 'GET /index.html HTTP/1.0\r\n\r\n');
      await client.closed;
      t.is(client.output[0]?.readUInt16LE(0), port);
      return { body: client.text(0).split('\r\n\r\n')[1], error: client.output[1]?.subarray(2).toString() };
    };
    t.deepEqual(await page(pod, 8086), { body: 'six\n', error: '' });
    t.deepEqual(await page(host, 18_087), { body: 'host\n', error: '' });
    t.regex((await page(pod, 9)).error ?? '', /port 9.*refused/i);
  },
);
