import test from 'ava';
import { once } from 'node:events';
import { readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { RuntimeServiceService } from '../../api/gen/cri.ts';
import { eventually } from '../lib/eventually.ts';
import { Crictl, TRANSPORTS, ended } from './crictl-client.ts';
import { oneServer } from './server-fixture.ts';
import { ChannelClient, attachUrl } from './streaming-client.ts';

const one = oneServer(test);

const ECHO = 'while read -r line; do echo "got $line"; echo "bad $line" >&2; done; echo over; exit 3';

/** Sends a line until all clients have received the answer: output before the attachment is not read. */
async function converse(
  client: ChannelClient,
  line: string,
  answer: RegExp,
  listeners: ChannelClient[] = [],
): Promise<void> {
  const asking = setInterval(() => {
    client.send(0, `${line}\n`);
  }, 200);
  await Promise.all([client, ...listeners].map((each) => each.until(1, answer))).finally(() => {
    clearInterval(asking);
  });
}

for (const handler of ['lxc', 'crun']) {
  test.serial(`crictl attaches with and without input: ${handler}`, async (t) => {
    const server = await one(t);
    const crictl = await Crictl.for(t, server.socket);
    const pod = await server.pod('crictl', {}, handler);
    for (const transport of TRANSPORTS) {
      const id = await server.sh(pod, transport, ECHO, { stdin: true, stdinOnce: true });
      const watching = crictl.spawn('attach', '-r', transport, id);
      const watched = ended(watching);
      const talking = crictl.spawn('attach', '-r', transport, '-i', id);
      const asking = setInterval(() => talking.stdin.write('more\n'), 200);
      await Promise.all([once(watching.stdout, 'data'), once(talking.stdout, 'data')]);
      clearInterval(asking);
      const talked = ended(talking);
      talking.stdin.end('last\n');
      const [there, here] = await Promise.all([watched, talked]);
      t.regex(here.stdout, /got last\nover\n$/, transport);
      t.regex(here.stderr, /bad last\n/);
      t.regex(there.stdout, /got last\nover\n$/);
      t.regex(there.stderr, /bad last\n/);
      t.deepEqual([here.code, there.code], [0, 0]);
      t.is((await server.exit(id)).exitCode, 3);
    }
  });

  test.serial(`clients reattach after SIGKILL to the server: ${handler}`, async (t) => {
    const server = await one(t);
    const id = await server.sh(await server.pod('several', {}, handler), 'main', ECHO, { stdin: true });
    const first = await ChannelClient.open(await attachUrl(server, id, { stderr: true }));
    const second = await ChannelClient.open(await attachUrl(server, id));
    const third = await ChannelClient.open(await attachUrl(server, id, { stdin: false }));
    await converse(first, 'one', /got one\n/);
    await converse(second, 'two', /got two\n/, [first, third]);
    await first.until(2, /bad two\n/);
    t.is(third.text(2), '', 'standard error was not asked for');
    // One leaves: the others stay, and stdin stays open.
    first.ws.terminate();
    await converse(second, 'three', /got three\n/);
    await third.until(1, /got three\n/);

    await server.end('SIGKILL');
    await server.start();
    const [fourth, fifth] = await Promise.all([
      ChannelClient.open(await attachUrl(server, id)),
      ChannelClient.open(await attachUrl(server, id, { stdin: false })),
    ]);
    await converse(fourth, 'four', /got four\n/, [fifth]);
    await server.client.call(RuntimeServiceService.stopContainer, { containerId: id, timeout: 0n });
    t.like(await fourth.status(), { status: 'Success' });
    t.like(await fifth.status(), { status: 'Success' });
  });

  test.serial(`StdinOnce closes stdin with its first client: ${handler}`, async (t) => {
    const server = await one(t);
    const pod = await server.pod('once', {}, handler);
    const byEnd = await server.sh(pod, 'end', ECHO, { stdin: true, stdinOnce: true });
    const earlier = await server.streamingSessions('ended');
    const whole = await ChannelClient.open(await attachUrl(server, byEnd));
    await converse(whole, 'one', /got one\n/);
    whole.endInput();
    t.like(await whole.status(), { status: 'Success' });
    t.regex(whole.text(1), /over\n$/, 'output after the end of the input reaches the client');
    await eventually('its end', async () => (await server.streamingSessions('ended')) > earlier);

    const byLeaving = await server.sh(pod, 'leave', ECHO, { stdin: true, stdinOnce: true });
    // Clients without stdin attach and detach without effect.
    for (let i = 0; i < 3; i++) {
      const begun = await server.streamingSessions('started');
      const looker = await ChannelClient.open(await attachUrl(server, byLeaving, { stdin: false }));
      await eventually('its beginning', async () => (await server.streamingSessions('started')) > begun);
      const over = await server.streamingSessions('ended');
      looker.ws.terminate();
      await eventually('its end', async () => (await server.streamingSessions('ended')) > over);
    }
    const looker = await ChannelClient.open(await attachUrl(server, byLeaving, { stdin: false }));
    const client = await ChannelClient.open(await attachUrl(server, byLeaving));
    await converse(client, 'two', /got two\n/);
    client.ws.terminate();
    t.is((await server.exit(byLeaving)).exitCode, 3);
    await looker.closed;
    t.regex(looker.text(1), /over\n$/);
  });

  test.serial(`StdinOnce closes stdin despite ongoing output: ${handler}`, async (t) => {
    const server = await one(t);
    const script =
      'i=0; while :; do i=$((i+1)); echo $i; echo $i >/count; usleep 10000; done & ' +
      'while read -r line; do echo "got $line"; done; kill $!; exit 3';
    const id = await server.sh(await server.pod('amid', {}, handler), 'main', script, { stdin: true, stdinOnce: true });
    const count = async () => Number((await server.exec(id, 'cat', '/count')).stdout.toString());
    const client = await ChannelClient.open(await attachUrl(server, id));
    await converse(client, 'one', /got one\n/);
    const looker = await ChannelClient.open(await attachUrl(server, id, { stdin: false }));
    await looker.until(1, /\d\n/);
    // conmon finds output to forward and the end of stdin at the same time.
    const monitor = Number(await readFile(join(server.directory, 'state/runner/containers', id, 'conmon.pid'), 'utf8'));
    process.kill(monitor, 'SIGSTOP');
    const over = await server.streamingSessions('ended');
    client.ws.terminate();
    await eventually('its end', async () => (await server.streamingSessions('ended')) > over);
    const then = await count();
    await eventually('more output', async () => (await count()) > then);
    process.kill(monitor, 'SIGCONT');
    t.is((await server.exit(id)).exitCode, 3);
  });

  test.serial(`without StdinOnce stdin stays open after clients leave: ${handler}`, async (t) => {
    const server = await one(t);
    const id = await server.sh(await server.pod('open', {}, handler), 'main', ECHO, { stdin: true });
    for (const line of ['one', 'two']) {
      const client = await ChannelClient.open(await attachUrl(server, id));
      await converse(client, line, new RegExp(`got ${line}\n`));
      client.endInput();
      client.ws.terminate();
      await client.closed;
    }
    const last = await ChannelClient.open(await attachUrl(server, id));
    await converse(last, 'three', /got three\n/);
    t.notRegex(last.text(1), /over/);
  });

  test.serial(`a terminal can be detached, reattached and resized: ${handler}`, async (t) => {
    const server = await one(t);
    const crictl = await Crictl.for(t, server.socket);
    const pod = await server.pod('tty', {}, handler);
    const id = await server.create(pod, 'tty', { command: ['sh'], stdin: true, stdinOnce: true, tty: true });
    await server.client.call(RuntimeServiceService.startContainer, { containerId: id });
    for (const [width, height] of [
      [77, 22],
      [123, 45],
    ]) {
      // As with containerd, StdinOnce does not hang up a terminal.
      const shell = await ChannelClient.open(await attachUrl(server, id, { tty: true }));
      shell.send(4, JSON.stringify({ Width: width, Height: height }));
      await converse(shell, 'stty size', new RegExp(`${String(height)} ${String(width)}\r\n`));
      // Of several sizes in a row, as a dragged window sends them, the last one is used.
      for (let columns = 50; columns < 100; columns++) shell.send(4, `{"Width":${String(columns)},"Height":11}`);
      const log = join(server.directory, 'logs/tty/tty.log');
      await rename(log, `${log}.${String(width)}`);
      await server.client.call(RuntimeServiceService.reopenContainerLog, { containerId: id });
      await converse(shell, 'stty size', /11 99\r\n/);
      shell.ws.terminate();
      await shell.closed;
    }
    for (const transport of TRANSPORTS) {
      const terminal = await crictl.onTerminal({ width: 88, height: 33 }, 'attach', '-r', transport, '-i', '-t', id);
      await terminal.converse('stty size', /33 88\r\n/);
      await terminal.resize({ width: 101, height: 44 });
      await terminal.converse('stty size', /44 101\r\n/);
      terminal.leave();
    }
    t.is((await server.status(id)).exitCode, 0);
    t.is((await server.containers()).containers[0]?.state, 1);
  });
}
