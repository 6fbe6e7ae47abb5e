import test from 'ava';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { eventually } from '../lib/eventually.ts';
import { Crictl, TRANSPORTS } from './crictl-client.ts';
import type { Transport } from './crictl-client.ts';
import { processesWith } from './runner-fixture.ts';
import { oneServer } from './server-fixture.ts';
import { ChannelClient, execUrl, forwardedPage } from './streaming-client.ts';

const one = oneServer(test);

for (const handler of ['lxc', 'crun']) {
  test.serial(`crictl uses exec and port-forward over both transports: ${handler}`, async (t) => {
    const server = await one(t);
    const pod = await server.pod('web', {}, handler);
    const page = 'mkdir /www; echo the page > /www/index.html; httpd -p 127.0.0.1:8080 -h /www; echo up; cat';
    const id = await server.sh(pod, 'main', page, {
      stdin: true,
      envs: [{ key: 'COLOUR', value: Buffer.from('blue') }],
    });
    await server.said('web', 'main', 'up');
    const crictl = await Crictl.for(t, server.socket);
    for (const transport of TRANSPORTS) {
      const exec = (args: string[], input = '') => crictl.run(['exec', '-r', transport, ...args], input);
      const simple = await exec([id, 'sh', '-c', 'echo "$COLOUR"; echo problem >&2']);
      t.like(simple, { stdout: 'blue\n', code: 0 }, transport);
      t.regex(simple.stderr, /problem/);
      t.is((await exec(['-i', id, 'sh', '-c', 'wc -c; echo done'], 'x'.repeat(1_000_000))).stdout, '1000000\ndone\n');
      const failing = await exec([id, 'sh', '-c', 'exit 42']);
      t.regex(failing.stderr, /exit code 42/);
      t.regex((await exec([id, 'no-such-program'])).stderr, /no-such-program/);
      t.is(await forwarded(crictl, pod, transport, 8080), 'the page\n');
    }
  });
}

/** Reads a page through crictl's port-forward, which keeps accepting connections. */
async function forwarded(crictl: Crictl, pod: string, transport: Transport, port: number) {
  const forward = await crictl.forward(transport, pod, port);
  for (const expected of ['the page\n', 'the page\n']) {
    const socket = connect({ host: '127.0.0.1', port: forward.local });
    socket.write('GET /index.html HTTP/1.0\r\n\r\n');
    const page = (await text(socket)).split('\r\n\r\n')[1];
    if (page !== expected) return page;
  }
  await forward.close();
  return 'the page\n';
}

test.serial('a terminal is controlling, resizable and loses no output', async (t) => {
  const server = await one(t);
  const id = await server.sh(await server.pod('tty'), 'main', 'sleep 1000', {
    workingDir: '/tmp',
    linux: {
      securityContext: { runAsUser: { value: 1000n }, runAsGroup: { value: 1001n }, supplementalGroups: [1002n] },
    },
  });
  const url = await execUrl(server, id, ['sh'], { tty: true, stdin: true });
  const shell = await ChannelClient.open(url);
  shell.send(4, '{"Width":91,"Height":33}');
  await shell.converse(
    'stty size; id; pwd; tty',
    /33 91\r\n[^]*uid=1000 gid=1001 groups=1001,1002\r\n[^]*\/tmp\r\n\/dev\/pts\/\d/,
  );
  shell.send(4, '{"Width":120,"Height":50}');
  await shell.converse('stty size', /50 120\r\n/);
  const sleeps = async () => (await processesWith('sleep\x00777')).length > 0;
  shell.send(0, 'sleep 777\n');
  await eventually('the command', sleeps);
  shell.send(0, '\x03');
  await eventually('its end', async () => !(await sleeps()));
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
});

test.serial('a command dies with its client', async (t) => {
  const server = await one(t);
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
    await eventually(`their end, terminal: ${String(tty)}`, async () => (await count()) === '0');
  }
  const refused = await t.throwsAsync(execUrl(server, id, ['true'], { tty: true, stderr: true }));
  t.regex(refused.message, /tty and stderr cannot both be true/);
  await t.throwsAsync(execUrl(server, id, ['true'], { stdout: false }), { message: /one of stdin, stdout, or stderr/ });
});

test.serial('port-forward reaches IPv4, IPv6 and host-network pods', async (t) => {
  const server = await one(t);
  const pod = await server.pod('ports');
  await server.sh(pod, 'six', 'mkdir /six; echo six > /six/index.html; httpd -f -p [::1]:8086 -h /six');
  const host = await server.pod('host', {
    linux: { securityContext: { namespaceOptions: { network: 2 } } },
  });
  await server.sh(host, 'host', 'mkdir /h; echo host > /h/index.html; httpd -f -p 127.0.0.1:18087 -h /h');
  const answering = (podSandboxId: string, port: number) =>
    eventually('a listener', async () => {
      const page = await forwardedPage(server, podSandboxId, port);
      return !/refused/i.test(page.error ?? '') && page;
    });
  t.deepEqual(await answering(pod, 8086), { body: 'six\n', error: '' });
  t.deepEqual(await answering(host, 18_087), { body: 'host\n', error: '' });
  t.regex((await forwardedPage(server, pod, 9)).error ?? '', /port 9.*refused/i);
});
