import test from 'ava';
import type { ExecutionContext } from 'ava';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { once } from 'node:events';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';

import { run } from '../../src/host/processes/run.ts';
import { eventually } from '../lib/eventually.ts';
import { Crictl, TRANSPORTS } from './crictl-client.ts';
import { ServerFixture } from './server-fixture.ts';
import { ChannelClient, execUrl, listening } from './streaming-client.ts';

/** A CA and a certificate of it for 127.0.0.1, as files of a directory that is removed after the test. */
async function certificates(t: ExecutionContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'tls-'));
  t.teardown(() => rm(directory, { recursive: true }));
  const openssl = (...args: string[]) => run('openssl', args, { cwd: directory });
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  for (const ca of ['ca', 'other']) {
    await openssl('req', '-x509', ...key, '-keyout', `${ca}.key`, '-out', `${ca}.pem`, '-days', '2', '-subj', '/CN=CA');
  }
  await openssl('req', ...key, '-keyout', 'server.key', '-out', 'server.csr', '-subj', '/CN=server');
  await writeFile(join(directory, 'names'), 'subjectAltName=IP:127.0.0.1,DNS:localhost\n');
  const signed = ['-in', 'server.csr', '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-extfile', 'names'];
  await openssl('x509', '-req', ...signed, '-out', 'server.pem', '-days', '2');
  return directory;
}

test.serial('crictl streams over TLS when it knows the CA', async (t) => {
  const directory = await certificates(t);
  const tls = `[streaming]\ntls_certificate = "${directory}/server.pem"\ntls_key = "${directory}/server.key"\n`;
  const server = await ServerFixture.make(t, tls);
  const crictl = await Crictl.for(t, server.socket);
  const pod = await server.pod('tls');
  const id = await server.sh(pod, 'main', 'nc -ll -p 8443 -e cat & while read -r line; do echo "got $line"; done', {
    stdin: true,
  });
  await listening(server, id, 8443);
  // crictl requires a client certificate, which this server does not request.
  const own = ['--tls-cert', join(directory, 'server.pem'), '--tls-key', join(directory, 'server.key')];
  const known = ['--tls-ca', join(directory, 'ca.pem'), ...own];
  const unknown = ['--tls-ca', join(directory, 'other.pem'), ...own];
  for (const transport of TRANSPORTS) {
    const input = 'x'.repeat(3_000_000);
    const whole = await crictl.run(['exec', '-r', transport, ...known, '-i', id, 'wc', '-c'], input);
    t.like(whole, { stdout: '3000000\n', code: 0 }, `${transport}: ${whole.stderr}`);
    const stranger = await crictl.run(['exec', '-r', transport, ...unknown, id, 'true']);
    t.not(stranger.code, 0);
    t.regex(stranger.stderr, /certificate/);

    const attached = crictl.spawn('attach', '-r', transport, ...known, '-i', id);
    const asking = setInterval(() => attached.stdin.write(`${transport}\n`), 200);
    const [answer] = (await once(attached.stdout, 'data')) as [Buffer];
    clearInterval(asking);
    t.regex(answer.toString(), new RegExp(`got ${transport}\n`));
    attached.kill('SIGKILL');

    const forward = await crictl.forward(transport, pod, 8443, ...known);
    const socket = connect({ host: '127.0.0.1', port: forward.local });
    socket.end('there and back');
    t.is(await text(socket), 'there and back');
    await forward.close();
  }
  const url = await execUrl(server, id, ['true']);
  t.regex(url, /^https:/);
  const plain = connect({ host: '127.0.0.1', port: Number(new URL(url).port) });
  plain.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  t.notRegex(await text(plain), /HTTP/, 'nothing is said in clear');
});

test.serial('an idle session is closed and its command killed', async (t) => {
  // crictl's client pings every 5 seconds, which counts as traffic.
  const server = await ServerFixture.make(t, '[streaming]\nidle_timeout_seconds = 3\n');
  const id = await server.sh(await server.pod('idle'), 'main', 'sleep 100000');
  const count = async (name: string) => {
    const { stdout } = await run('ps', ['-eo', 'args=']);
    return stdout.split('\n').filter((line) => line === name).length;
  };
  const begun = performance.now();
  const idle = await ChannelClient.open(await execUrl(server, id, ['sleep', '77777']));
  const crictl = await Crictl.for(t, server.socket);
  const idleToo = crictl.run(['exec', '-r', 'spdy', id, 'sleep', '77777']);
  const busy = await ChannelClient.open(await execUrl(server, id, ['cat'], { stdin: true }));
  const talking = setInterval(() => {
    busy.send(0, 'more\n');
  }, 300);
  t.teardown(() => {
    clearInterval(talking);
  });
  await idle.closed;
  t.true(performance.now() - begun > 2700, 'but not at once');
  await idleToo;
  await eventually('the end of both commands', async () => (await count('sleep 77777')) === 0);
  clearInterval(talking);
  busy.send(0, 'still here\n');
  await busy.until(1, /still here\n/);
  busy.endInput();
  t.like(await busy.status(), { status: 'Success' });
});

test.serial('an unreadable certificate refuses the start', async (t) => {
  const directory = await certificates(t);
  const server = await ServerFixture.make(t);
  await server.end('SIGTERM');
  const config = join(server.directory, 'config.toml');
  const plain = await readFile(config, 'utf8');
  for (const [certificate, key, words] of [
    ['absent.pem', 'server.key', /streaming\.tls_certificate: cannot be read: .*absent\.pem/],
    ['names', 'server.key', /streaming\.tls_certificate: .*names is not a PEM certificate/],
    ['server.pem', 'names', /streaming\.tls_key: .*names is not a PEM private key/],
    ['server.pem', 'ca.key', /streaming\.tls_key: .*ca\.key does not match .*server\.pem/],
  ] as const) {
    const tls = `[streaming]\ntls_certificate = "${directory}/${certificate}"\ntls_key = "${directory}/${key}"\n`;
    await writeFile(config, `${plain}\n${tls}`);
    t.regex((await t.throwsAsync(server.start())).message, words);
  }
  await writeFile(config, plain);
  await t.notThrowsAsync(server.start());
});
