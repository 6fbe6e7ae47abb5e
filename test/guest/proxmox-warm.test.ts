// Everything else about the pool: `test/long warm-pool`.
import { readFile } from 'node:fs/promises';
import test from 'ava';
import type { Owner } from '../integration/server-fixture.ts';
import { Faults, FAULTY_PROGRAM } from '../integration/walk-faults.ts';
import { loadGuest } from '../pve/config/guest.ts';
import { GuestPods, HANDLER } from './proxmox-pods.ts';
import { endAll, figures, infoOf, METRICS, nothingElse, poolOf, warmToml } from './warm-pods.ts';

const SIZE = 1;
const FOREVER = 'trap "exit 0" TERM; echo ready; sleep 3600 & wait';

const ends: (() => unknown)[] = [];
let pods: GuestPods;
test.before(async (t) => {
  const owner: Owner = { ...t, teardown: (end) => ends.push(end), passed: false };
  pods = await GuestPods.make(owner, {}, FAULTY_PROGRAM, { toml: warmToml(SIZE), metrics: METRICS });
  ends.push(() => endAll(pods));
});
test.after.always(async () => {
  for (const end of ends.reverse()) await end();
});

test.serial('a pod claims a guest by one change of its configuration', async (t) => {
  const { server, node } = pods;
  const { requests } = node.cluster.state;
  const [[warm, vmid] = ['', 0]] = await poolOf(pods, SIZE);
  const tags = { 'proxmox-lxcri.io/tags': 'shop' };
  const sysctls = { 'net.ipv4.ip_unprivileged_port_start': '81', 'kernel.shm_rmid_forced': '1' };
  const before = requests.length;
  const pod = await server.pod('web', { hostname: 'web-0', annotations: tags, linux: { sysctls } }, HANDLER);
  const own = requests.slice(before).filter((line) => line.includes(`/${String(vmid)}/`));
  t.deepEqual(own, [`PUT /nodes/pve1/lxc/${String(vmid)}/config`]);
  t.is(await pods.vmidOf(pod), vmid);

  const { values, description } = loadGuest(node.cluster.state, node.cluster.state.guests.find(vmid)!).current;
  t.like(values, { hostname: 'test--web', tags: 'k8s;proxmox-lxc;shop;test' });
  t.regex(description ?? '', new RegExp(`^Pod test/web, .*\n[^]*Kubernetes pod ${pod} of proxmox-lxcri`));
  const info = await infoOf(pods, pod);
  t.like(info, { provider: HANDLER, vmid, origin: 'warm pool', running: true });
  // The guest's own cgroup is empty: the kubelet's has all processes.
  t.is(await readFile(`/sys/fs/cgroup/lxc/${String(vmid)}/ns/cgroup.procs`, 'utf8'), '');
  t.is(String(info['cgroup']), `${server.cgroup}/${pod}`);

  const script = `hostname; cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/shm_rmid_forced; ${FOREVER}`;
  const app = await server.sh(pod, 'app', script);
  await server.said('web', 'app', 'ready');
  t.is(await server.output('web', 'app'), 'web-0\n81\n1\nready\n');
  t.regex(await readFile(`/proc/${String(await pods.pidOf(app))}/cgroup`, 'utf8'), new RegExp(`/${pod}/${app}\n`));
  t.false((await poolOf(pods, SIZE)).has(warm), 'another guest has taken its place');
  t.like(await figures(), { claimed: 1, missed: 0 });

  // The server is killed in the next claim, and the guest of the first pod is stopped meanwhile.
  const point = 'proxmox PUT /nodes/pve1/lxc/VMID/config#0';
  await new Faults(server.directory).arm({ point, how: 'die-after', errno: 'EIO' });
  await t.throwsAsync(server.pod('killed', {}, HANDLER));
  await server.end('SIGKILL');
  await pods.act('POST', vmid, '/status/stop');
  await server.start();
  t.is((await server.exit(app)).exitCode, 137);
  await pods.notReady(pod);
  await pods.remove(pod);
  t.deepEqual(await nothingElse(pods, SIZE), []);
});
