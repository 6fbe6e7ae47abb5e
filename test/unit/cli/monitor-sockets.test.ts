import test from 'ava';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkMonitorSockets } from '../../../src/cli/doctor/monitor-sockets.ts';
import { defaultProfile } from '../../../src/integrations/apparmor/default-profile.ts';

test('monitors of LXC containers are reported unless protected', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'sockets-'));
  t.teardown(() => rm(directory, { recursive: true }));
  const name = `/var/lib/lxc/test-${String(process.pid)}`;
  const monitor = createServer();
  await new Promise<void>((resolve) => monitor.listen(`\0${name}/command`, resolve));
  t.teardown(() => monitor.close());
  const sockets = join(directory, 'unix');
  const lines = (await readFile('/proc/net/unix', 'utf8')).split('\n');
  await writeFile(sockets, lines.filter((line) => line.includes(name) || !line.includes('/lxc/')).join('\n'));
  const open = await checkMonitorSockets(sockets, []);
  t.like(open, { status: 'warning' });
  t.true(open.found.startsWith(`1, such as ${name};`), open.found);
  t.like(await checkMonitorSockets(sockets, [sockets]), { status: 'ok' });
  await writeFile(sockets, lines.filter((line) => !line.includes('/lxc/')).join('\n'));
  t.like(await checkMonitorSockets(sockets, []), { status: 'ok', found: 'none' });
});

test('the default profile denies connections to these monitors', (t) => {
  t.regex(defaultProfile, /^ {2}deny unix peer=\(addr="@\/var\/lib\/lxc\/\*\*"\),$/m);
});
