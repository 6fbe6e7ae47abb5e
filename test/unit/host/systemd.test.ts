import test from 'ava';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Logger } from '../../../src/core/model/logger.ts';
import { ServiceManager } from '../../../src/host/service-manager.ts';
import { cgroupDriver } from '../../../src/host/systemd.ts';
import { eventually } from '../../lib/eventually.ts';

test('cgroup driver "auto" follows the parent, then the machine', async (t) => {
  const driver = (cgroup_driver: 'auto' | 'cgroupfs' | 'systemd', cgroup_parent: string) =>
    cgroupDriver({ cgroup_driver, cgroup_parent });
  t.is(await driver('auto', '/pods'), 'cgroupfs');
  t.is(await driver('auto', 'pods.slice'), 'systemd');
  t.is(await driver('auto', ''), existsSync('/run/systemd/system') ? 'systemd' : 'cgroupfs');
  t.is(await driver('cgroupfs', ''), 'cgroupfs');
  t.is(await driver('systemd', ''), 'systemd');
});

test('the service manager learns that the server is ready, alive and ending', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'manager-'));
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  const socket = join(directory, 'notify');
  const receiver = spawn('socat', ['-u', `UNIX-RECV:${socket}`, 'STDOUT'], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.teardown(async () => {
    receiver.kill();
    await once(receiver, 'exit');
  });
  let received = '';
  receiver.stdout.on('data', (data: Buffer) => (received += data.toString()));
  await eventually('the socket of the receiver', () => existsSync(socket));
  const env = { NOTIFY_SOCKET: socket, WATCHDOG_USEC: '20000', WATCHDOG_PID: String(process.pid), PATH: '/bin' };
  const warnings: string[] = [];
  const manager = new ServiceManager(logger(warnings), env);
  t.deepEqual(env as object, { PATH: '/bin' }, 'programs of the server do not inherit the variables');
  let pods = 0;
  await manager.ready(() => `${String(pods++)} pods`);
  await eventually('two signs of life', () => received.includes('STATUS=2 pods'));
  t.true(received.startsWith('READY=1\nSTATUS=0 podsWATCHDOG=1\nSTATUS=1 pods'), received);
  await manager.stopping();
  await eventually('the end', () => received.includes('STOPPING=1'));
  t.deepEqual(warnings, []);

  const none = new ServiceManager(logger(warnings), {});
  await none.ready(() => '');
  t.deepEqual(warnings, [], 'without a service manager nothing is sent');
  await new ServiceManager(logger(warnings), { NOTIFY_SOCKET: join(directory, 'absent') }).stopping();
  t.regex(warnings[0] ?? '', /^Notifying the service manager failed: .*absent/);
});

/** Collects warnings with their error. */
function logger(warnings: string[]): Logger {
  const warn = (message: string, { error }: Record<string, unknown> = {}) => {
    warnings.push(`${message}: ${String(error)}`);
  };
  return { warn } as unknown as Logger;
}
