import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';
import test, { type ExecutionContext } from 'ava';
import { initPid, isRunning, limitingCgroup } from '../../pve/lxc/machine/command-socket.ts';

const EPERM = -1;
const VMID = 100;

/** A monitor's answer: its result and the place of a pointer, or the data behind them. */
function answer(result: number, value: number, data = ''): Buffer {
  const head = Buffer.alloc(16);
  head.writeInt32LE(result);
  head.writeInt32LE(data.length, 4);
  head.writeInt32LE(value, 8);
  return Buffer.concat([head, Buffer.from(data)]);
}

/** A command socket that gives these answers, one a connection, and the last one from then on. */
async function monitor(
  t: ExecutionContext,
  first: Buffer,
  ...others: Buffer[]
): Promise<{ path: string; asked: () => number }> {
  const path = `/tmp/monitor-${randomBytes(8).toString('hex')}`;
  const last = others.at(-1) ?? first;
  let asked = 0;
  const server = createServer((socket) => {
    socket.once('data', () => socket.end([first, ...others][asked++] ?? last));
  });
  server.listen(`\0${path}/${VMID}/command`);
  await once(server, 'listening');
  t.teardown(() => server.close());
  return { path, asked: () => asked };
}

test('a command that the monitor refused for lack of credentials is sent again', async (t) => {
  const refused = answer(EPERM, 0);
  const running = await monitor(t, refused, answer(0, 2));
  t.true(await isRunning(running.path, VMID));
  const started = await monitor(t, refused, refused, answer(0, 4711));
  t.is(await initPid(started.path, VMID), 4711);
  t.is(started.asked(), 3);
  const limited = await monitor(t, refused, answer(0, 0, 'lxc/100\0'));
  t.is(await limitingCgroup(limited.path, VMID), '/lxc/100');
});

test('a monitor that always refuses is an error', async (t) => {
  const { path } = await monitor(t, answer(EPERM, 0));
  await t.throwsAsync(initPid(path, VMID), { message: 'the monitor refused command 4: EPERM' });
  t.false(await isRunning(path, VMID));
});
