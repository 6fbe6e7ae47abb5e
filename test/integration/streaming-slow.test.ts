import test from 'ava';
import { readFile, stat } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import type { Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { run } from '../../src/host/processes/run.ts';
import { eventually } from '../lib/eventually.ts';
import { findNative } from '../../src/host/native/find.ts';
import { Crictl, TRANSPORTS, ended } from './crictl-client.ts';
import { ServerFixture } from './server-fixture.ts';
import { ChannelClient, attachUrl, execUrl, listening } from './streaming-client.ts';

const MIB = 2 ** 20;

/** Writes endless bytes as fast as they are read. */
function flood(sink: Writable): void {
  const chunk = Buffer.alloc(65_536);
  const source = Readable.from(
    (function* () {
      for (;;) yield chunk;
    })(),
  );
  sink.on('error', () => source.destroy());
  source.pipe(sink);
}

/** Current memory of a process in bytes. */
async function residentBytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${String(pid)}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) * 1024;
}

/** Bytes that a process has read so far. */
async function bytesRead(pid: number): Promise<number> {
  return Number(/rchar: (\d+)/.exec(await readFile(`/proc/${String(pid)}/io`, 'utf8'))?.[1]);
}

/** Waits until a process stops reading. @returns its maximum memory meanwhile; stops when that reaches `limit`. */
async function untilQuiet(pid: number, limit: number): Promise<number> {
  let most = 0;
  let quiet = 0;
  for (let before = 0; quiet < 4;) {
    const now = await bytesRead(pid);
    quiet = now - before < 65_536 ? quiet + 1 : 0;
    before = now;
    most = Math.max(most, await residentBytes(pid));
    if (most > limit) break;
    await sleep(250);
  }
  return most;
}

/** How many processes of a name there are in the sandbox. */
async function count(name: string): Promise<number> {
  const { stdout } = await run('ps', ['-eo', 'args=']);
  return stdout.split('\n').filter((line) => line.startsWith(name)).length;
}

function untilNone(name: string): Promise<true> {
  return eventually(`the end of every ${name}`, async () => (await count(name)) === 0);
}

test.serial('a slow client costs no memory and ends cleanly', async (t) => {
  const server = await ServerFixture.make(t);
  const crictl = await Crictl.for(t, server.socket);
  const pod = await server.pod('slow');
  const id = await server.sh(pod, 'main', 'sleep 100000', { stdin: true });
  const ports = await server.sh(
    pod,
    'ports',
    'for p in 1 2; do nc -l -p 900$p -e yes & nc -l -p 901$p -e sleep 100000 & done; wait',
  );
  await listening(server, ports, 9001, 9002, 9011, 9012);
  for (const transport of TRANSPORTS) await crictl.run(['exec', '-r', transport, id, 'true']);
  const before = await residentBytes(server.pid);
  const limit = before + 128 * MIB;

  const clients = [];
  const counted = [];
  for (const [index, transport] of TRANSPORTS.entries()) {
    clients.push(crictl.spawn('exec', '-r', transport, id, 'yes'));
    counted.push(crictl.spawn('exec', '-r', transport, id, 'head', '-c', '100000000', '/dev/zero'));
    for (const args of [
      ['exec', '-r', transport, '-i', id, 'sleep', '77777'],
      ['attach', '-r', transport, '-i', id],
    ]) {
      const client = crictl.spawn(...args);
      flood(client.stdin);
      clients.push(client);
    }
    for (const port of [9001, 9011]) {
      const forward = await crictl.forward(transport, pod, port + index);
      const socket = connect({ host: '127.0.0.1', port: forward.local });
      socket.on('error', () => undefined);
      t.teardown(() => socket.destroy());
      if (port === 9011) flood(socket);
      clients.push(forward.child);
    }
  }
  const terminal = await ChannelClient.open(await execUrl(server, id, ['yes'], { tty: true }));
  terminal.ws.pause();
  await eventually('every command', async () => (await count('yes')) >= 5 && (await count('sleep 77777')) === 2);
  const most = await untilQuiet(server.pid, limit);
  t.log(`${String(Math.round((most - before) / MIB))} MiB more than before for ${String(clients.length + 3)} sessions`);
  t.true(most < limit, `${String(before)} bytes before, ${String(most)} then`);

  // The delayed output is complete.
  for (const client of counted) {
    let bytes = 0;
    for await (const chunk of client.stdout as AsyncIterable<Buffer>) bytes += chunk.length;
    t.is(bytes, 100_000_000);
  }
  // The loss of a client that does not read is noticed, too.
  for (const client of clients) client.kill('SIGKILL');
  terminal.ws.terminate();
  await untilNone('yes');
  await untilNone('sleep 77777');
  await untilNone(`${findNative()} relay`);
  t.true((await residentBytes(server.pid)) < limit);
});

test.serial('a slow attached client blocks neither log nor others', async (t) => {
  const server = await ServerFixture.make(t);
  const crictl = await Crictl.for(t, server.socket);
  const pod = await server.pod('stall');
  const lines = 2_500_000;
  const script = `while read -r line && [ "$line" != go ]; do echo "$line" >&2; done; seq 1 ${String(lines)}; read -r line; echo over`;
  const id = await server.sh(pod, 'main', script, { stdin: true });
  const before = await residentBytes(server.pid);
  const stuck = TRANSPORTS.map((transport) => crictl.spawn('attach', '-r', transport, id));
  const reading = crictl.spawn('attach', id);
  const read = ended(reading);
  // Its own messages come first: crictl warns on the same stream.
  const answered = Promise.all([...stuck, reading].map((client) => until(client.stderr, 'there?')));
  const typist = await ChannelClient.open(await attachUrl(server, id, { stdout: false, stderr: true }));
  // Output before the attachment is not read.
  const asking = setInterval(() => {
    typist.send(0, 'there?\n');
  }, 200);
  await answered;
  clearInterval(asking);
  typist.send(0, 'go\n');
  const log = join(server.directory, 'logs/stall/main.log');
  const last = `stdout F ${String(lines)}\n`;
  let most = 0;
  for (let size = -1; !(await readFile(log, 'utf8')).slice(-100).endsWith(last);) {
    await sleep(500);
    most = Math.max(most, await residentBytes(server.pid));
    // The slow clients have some seconds to catch up; then they are disconnected.
    size = await eventually('more of the log', async () => {
      const now = (await stat(log)).size;
      return (now !== size || (await readFile(log, 'utf8')).slice(-100).endsWith(last)) && now;
    });
  }
  t.true((await readFile(log, 'utf8')).slice(-100).endsWith(last), 'the log is whole');
  t.true(most < before + 128 * MIB, `${String(before)} bytes before, ${String(most)} then`);
  typist.send(0, 'end\n');
  const { stdout } = await read;
  t.is(
    stdout.length,
    [...Array(7).keys()].reduce((sum, n) => sum + (Math.min(10 ** (n + 1), lines + 1) - 10 ** n) * (n + 2), 0) + 5,
  );
  t.true(stdout.endsWith(`${String(lines)}\nover\n`), 'who reads has all of it');
  for (const client of stuck) t.regex((await ended(client)).stderr, /not read fast enough/);
});

/** Resolves when a stream has received these words. */
function until(stream: Readable, words: string): Promise<void> {
  return new Promise((resolve) => {
    let text = '';
    const look = (chunk: Buffer) => {
      text += chunk.toString();
      if (!text.includes(words)) return;
      stream.off('data', look);
      stream.pause(); // Later data is for the next reader.
      resolve();
    };
    stream.on('data', look);
  });
}
