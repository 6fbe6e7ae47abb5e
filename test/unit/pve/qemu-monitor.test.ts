import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { emptySection } from '../../pve/config/config-text.ts';
import { EventSocket } from '../../pve/qemu/monitor/events.ts';
import { SocketMonitor } from '../../pve/qemu/monitor/monitor.ts';
import { takes } from '../../pve/qemu/plug/takes.ts';

type Answer = (socket: Socket, command: string) => void;

async function place(t: ExecutionContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'qemu-'));
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

/** The monitor of a process that answers as `answer` does, at its sockets `qmp` and `qga`. */
async function monitor(t: ExecutionContext, greeting: string, answer: Answer): Promise<SocketMonitor> {
  const directory = await place(t);
  for (const kind of ['qmp', 'qga']) {
    const server = createServer((socket) => {
      socket.write(greeting);
      socket.on('data', (chunk) => {
        for (const line of chunk.toString('utf8').trim().split('\n'))
          answer(socket, (JSON.parse(line) as { execute: string }).execute);
      });
    });
    server.listen(join(directory, kind));
    await once(server, 'listening');
    t.teardown(() => server.close());
  }
  return new SocketMonitor(100, (extension) => join(directory, extension));
}

test('a command gets its answer among events', async (t) => {
  const asked: string[] = [];
  const found = await monitor(t, '{"QMP":{}}\r\n', (socket, command) => {
    asked.push(command);
    socket.write('{"event":"RESUME"}\r\n{"ret');
    socket.write(`urn":{"status":"${command}"}}\r\n`);
  });
  t.deepEqual(await found.execute('query-status'), { status: 'query-status' });
  t.deepEqual(asked, ['qmp_capabilities', 'query-status']);
});

test('what fails has the words of the node', async (t) => {
  const found = await monitor(t, '', (socket, command) => {
    if (command === 'quit') socket.destroy();
    else if (command === 'stop') socket.write('{"error":{"class":"GenericError","desc":"no"}}\n');
    else if (command === 'qmp_capabilities') socket.write('{"return":{}}\n');
  });
  await t.throwsAsync(found.execute('stop'), { message: "VM 100 qmp command 'stop' failed - no" });
  await t.throwsAsync(found.execute('quit'), {
    message: "VM 100 qmp command 'quit' failed - client closed connection",
  });
  await t.throwsAsync(found.agent('guest-ping', {}, 50), {
    message: "VM 100 qga command 'guest-ping' failed - got timeout",
  });
  const missing = new SocketMonitor(100, () => '/nowhere');
  await t.throwsAsync(missing.execute('stop'), { message: /unable to connect to socket - ENOENT/ });
});

test('an agent begins its answer with a byte that is no text', async (t) => {
  const found = await monitor(t, '', (socket, command) => {
    if (command === 'guest-sync-delimited') socket.write(Buffer.from('half an answer\n\xff{"return":1}\n', 'latin1'));
    else socket.write('{"return":{"version":"1"}}\n');
  });
  t.deepEqual(await found.agent('guest-info'), { version: '1' });
});

test('a process reports that its machine is off, and its end', async (t) => {
  const path = join(await place(t), 'events.sock');
  const events = await EventSocket.listen(path);
  t.teardown(() => events.close());
  const told: string[] = [];
  const over = Promise.withResolvers<undefined>();
  events.watch(100, {
    connected: () => told.push('connected'),
    off: () => told.push('off'),
    closed: () => {
      told.push('closed');
      over.resolve(undefined);
    },
  });
  const process = connect(path);
  t.teardown(() => process.destroy());
  process.write('{"QMP":{}}\n');
  let asked = '';
  process.on('data', (chunk) => {
    asked += chunk.toString('utf8');
    if (!asked.includes('query-chardev')) return;
    const device = { label: 'qmp', filename: 'disconnected:unix:/x/100.qmp,server=on' };
    process.write(
      `{"return":{}}\n${JSON.stringify({ return: [device] })}\n{"event":"SHUTDOWN","data":{"guest":true}}\n`,
    );
    process.end();
  });
  await over.promise;
  t.deepEqual(told, ['connected', 'off', 'closed']);
});

test('a running machine takes what can be plugged', (t) => {
  const cases: [
    key: string,
    before: string | undefined,
    after: string | undefined,
    taken: boolean,
    hotplug?: string,
  ][] = [
    ['scsi1', undefined, 'local:1', true],
    ['scsi1', 'local:100/a.raw', undefined, true],
    ['scsi1', undefined, 'local:1', false, 'network'],
    ['ide0', undefined, 'local:1', false],
    ['sata0', 'local:100/a.raw', undefined, false],
    ['ide2', 'none,media=cdrom', 'local:iso/a.iso,media=cdrom', true],
    ['virtio0', 'local:100/a.raw,size=1G', 'local:100/a.raw,size=1G,backup=0', true],
    ['virtio0', 'local:100/a.raw', 'local:100/a.raw,cache=unsafe', false],
    ['net0', undefined, 'virtio=BC:24:11:00:00:01,bridge=vmbr0', true],
    ['net0', undefined, 'virtio=BC:24:11:00:00:01,bridge=vmbr0', false, '0'],
    ['net0', 'virtio=BC:24:11:00:00:01,bridge=a', 'virtio=BC:24:11:00:00:01,bridge=b,tag=2', true, '0'],
    ['net0', 'virtio=BC:24:11:00:00:01,bridge=a', 'e1000=BC:24:11:00:00:01,bridge=a', false, '0'],
    ['onboot', undefined, '1', true, '0'],
  ];
  for (const [key, before, after, taken, hotplug] of cases) {
    const values = {
      ...(before === undefined ? {} : { [key]: before }),
      ...(hotplug === undefined ? {} : { hotplug }),
    };
    const pending = { values: after === undefined ? {} : { [key]: after }, raw: [] };
    const config = { current: { ...emptySection(), values }, pending, snapshots: new Map(), digest: '' };
    t.is(takes(key, config), taken, `${key}: ${before} -> ${after}, ${hotplug}`);
  }
});
