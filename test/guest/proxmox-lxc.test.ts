import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import {
  ImageServiceService,
  ImageStatusRequest,
  NamespaceMode,
  PodSandboxStatusRequest,
  PullImageRequest,
  RuntimeServiceService,
  UpdateContainerResourcesRequest,
  UpdatePodSandboxResourcesRequest,
} from '../../api/gen/cri.ts';
import { StatusCode } from '../../src/core/model/errors.ts';
import { packImages } from '../fixtures/bfc/pack-image.ts';
import { ServerFixture } from '../integration/server-fixture.ts';
import { eventually } from '../lib/eventually.ts';
import { identity } from '../integration/sandbox-fixture.ts';
import { loadGuest } from '../pve/config/guest.ts';
import { ask } from '../pve/http/ask.ts';
import { buildImage, tarOf } from '../unit/integrations/oci/image-builder.ts';
import { NetworkFixture } from './pve-network.ts';
import { NodeFixture } from './pve-node.ts';
import { output } from './pve-pool.ts';

const HANDLER = 'proxmox-lxc';
const FOREVER = 'trap "exit 0" TERM; echo ready; sleep 3600 & wait';
const TRUSTED = '[handlers.proxmox-lxc]\nannotation_namespaces = ["pooled"]\n';
const MIB = 1_048_576n;
const KEY = Buffer.alloc(32, 'K');
/** Requests of RunPodSandbox that read, besides those about its tasks; see docs/proxmox.md. */
const READS = 10;
const { POD, CONTAINER, NODE } = NamespaceMode;

let node: NodeFixture;
let server: ServerFixture;
/** A directory of BFC files, and their key in the file `key`. */
let bfc: string;
test.before(async (t) => {
  bfc = await mkdtemp('/tmp/bfc-');
  await writeFile(join(bfc, 'key'), KEY);
  node = await NodeFixture.make({}, 'local', true);
  const pools = 'pools = [{ namespaces = ["pool*"], pool = "k8s" }]';
  const toml = node.toml.replace('[proxmox.vmids]', `${pools}\n$&`) + TRUSTED;
  const files = `[bfc]\ndirectory = "${bfc}"\nkey_files = ["${join(bfc, 'key')}"]\n`;
  server = await ServerFixture.make({ ...t, teardown: (end) => ends.push(end), passed: false }, toml + files);
});
const ends: (() => unknown)[] = [];
test.after.always(async () => {
  for (const end of ends.reverse()) await end();
  await node.close();
  await rm(bfc, { recursive: true });
});

const call = RuntimeServiceService;
const stop = (podSandboxId: string) => server.client.call(call.stopPodSandbox, { podSandboxId });
const remove = (podSandboxId: string) => server.client.call(call.removePodSandbox, { podSandboxId });

const vmids = () => node.cluster.state.guests.list().map(({ vmid }) => vmid);

/** Removes a pod, and expects nothing of it. */
async function leavesNothing(t: ExecutionContext, pod: string): Promise<void> {
  await stop(pod);
  await remove(pod);
  t.deepEqual(vmids(), []);
  t.deepEqual(await readdir('/var/lib/lxc'), []);
  t.deepEqual(JSON.parse(await readFile(join(server.directory, 'root', 'vmids.json'), 'utf8')), {
    format: 1,
    vmids: {},
  });
  t.deepEqual(await readdir(`${server.directory}/state/${HANDLER}`), []);
}

/** Verbose information of a pod. */
async function info(podSandboxId: string): Promise<Record<string, unknown>> {
  const request = PodSandboxStatusRequest.create({ podSandboxId, verbose: true });
  return JSON.parse((await server.client.call(call.podSandboxStatus, request)).info['info'] ?? '{}') as never;
}

test.serial('a pod is one guest, and its containers cost no call', async (t) => {
  const { requests } = node.cluster.state;
  const pod = await server.pod('web', { hostname: 'web-0' }, HANDLER);
  const changes = (from: number) => requests.slice(from).filter((line) => !line.startsWith('GET'));
  t.deepEqual(changes(0), ['POST /nodes/pve1/lxc', 'POST /nodes/pve1/lxc/10000/status/start']);
  // Beside them the tasks are looked at until they end.
  const reads = requests.filter((line) => line.startsWith('GET') && !line.includes('/tasks/'));
  t.log('calls of RunPodSandbox', requests.length);
  t.is(reads.length, READS, reads.join(', '));
  const before = requests.length;
  const id = await server.sh(pod, 'app', `hostname; ${FOREVER}`);
  await server.said('web', 'app', 'ready');
  t.is(await server.output('web', 'app'), 'web-0\nready\n');
  t.is((await server.exec(id, 'echo', 'x')).stdout.toString(), 'x\n');
  await server.client.call(call.stopContainer, { containerId: id, timeout: 10n });
  t.is((await server.status(id)).exitCode, 0);
  await server.client.call(call.removeContainer, { containerId: id });
  const again = await server.sh(pod, 'again', FOREVER);
  await server.said('web', 'again', 'ready');
  t.like(await info(pod), { provider: HANDLER, node: 'pve1', vmid: 10_000, running: true });
  t.deepEqual(requests.slice(before), []);

  await server.end('SIGKILL');
  await server.start();
  t.is((await server.exec(again, 'echo', 'y')).stdout.toString(), 'y\n');
  const { data } = await ask(node.cluster, 'GET', '/nodes/pve1/lxc/10000/status/current');
  t.like(data, { status: 'running', tags: 'k8s;proxmox-lxc;test', pressurecpusome: null });
  const removing = requests.length;
  await leavesNothing(t, pod);
  t.deepEqual(changes(removing), ['DELETE /nodes/pve1/lxc/10000']);
});

test.serial('a pod has the namespaces that it asks for', async (t) => {
  const mapping = [{ hostId: 300_000, containerId: 0, length: 65_536 }];
  const usernsOptions = { mode: POD, uids: mapping, gids: mapping };
  const linux = (namespaceOptions: object) => ({ linux: { securityContext: { namespaceOptions } } });
  const mapped = { ...linux({ pid: CONTAINER, usernsOptions }), hostname: 'mapped' };
  const pods: [name: string, config: Parameters<ServerFixture['pod']>[1]][] = [
    ['node', linux({ network: NODE, pid: CONTAINER, ipc: NODE })],
    ['shared', { ...linux({ pid: POD }), hostname: 'shared' }],
    ['mapped', mapped],
  ];
  const ids: string[] = [];
  for (const [name, config] of pods) {
    const pod = await server.pod(name, config, HANDLER);
    ids.push(pod);
    const script = `readlink /proc/self/ns/net; cat /proc/self/uid_map; cat /proc/1/comm; stat -c %u /proc/1/environ; ${FOREVER}`;
    await server.sh(pod, 'app', script, { linux: config?.linux as never });
    await server.said(name, 'app', 'ready');
  }
  const said = async (name: string) => (await server.output(name, 'app')).split('\n');
  t.true((await identity('/proc/self/ns/net')).includes((await said('node'))[0]?.match(/\d+/)?.[0] ?? '-'));
  t.is((await said('shared'))[2], 'init');
  t.is((await said('shared'))[3], '0', 'the pause process of 65535 is not dumpable: nobody of its user may trace it');
  t.regex((await said('mapped'))[1] ?? '', /^ +0 +300000 +65536$/);
  for (const id of ids) await stop(id).then(() => remove(id));
  t.deepEqual(vmids(), []);
});

test.serial('a container over its limit is OOM-killed in a guest', async (t) => {
  const pod = await server.pod('oom', { hostname: 'oom' }, HANDLER);
  const linux = { resources: { memoryLimitInBytes: 32n * MIB } };
  const id = await server.sh(pod, 'app', 'mkdir /m; dd if=/dev/zero of=/dev/shm/x bs=1M count=60', { linux });
  const status = await server.exit(id);
  t.like(status, { exitCode: 137, reason: 'OOMKilled' });
  const app = await server.sh(pod, 'second', FOREVER);
  const resources = { containerId: app, linux: { memoryLimitInBytes: 64n * MIB } };
  await server.client.call(call.updateContainerResources, UpdateContainerResourcesRequest.create(resources));
  const limits = { podSandboxId: pod, resources: { memoryLimitInBytes: 96n * MIB } };
  await server.client.call(call.updatePodSandboxResources, UpdatePodSandboxResourcesRequest.create(limits));
  const { stats } = await server.client.call(call.podSandboxStats, { podSandboxId: pod });
  t.true((stats?.linux?.memory?.usageBytes?.value ?? 0n) > 0n);
  t.is(stats?.linux?.network?.defaultInterface?.name, 'eth0');
  await leavesNothing(t, pod);
});

test.serial('a pod starts from encrypted BFC files without a registry', async (t) => {
  await output('tar', '-C', '/', '-cf', join(bfc, 'tar'), 'bin/busybox');
  const base = await readFile(join(bfc, 'tar'));
  const secret = { kind: 'key', key: KEY } as const;
  const named = { 'r.example/team/app:v1': buildImage([base]) };
  const dropped = await packImages(join(bfc, 'app.bfc'), named, { secret });
  const site = buildImage([base, tarOf({ name: 'site', body: 'site\n' })]);
  const stored = await packImages('/var/lib/vz/site.bfc', { 'r.example/site:v1': site }, { secret });
  const pull = (image: string) =>
    server.client.call(ImageServiceService.pullImage, PullImageRequest.create({ image: { image } }));
  const images = ['r.example/team/app:v1', 'bfc://local:site.bfc:r.example/site:v1'] as const;
  const status = ImageStatusRequest.create({ image: { image: images[0] } });
  await eventually('the image of the directory', async () => {
    return (await server.client.call(ImageServiceService.imageStatus, status)).image;
  });
  await pull(images[1]);
  await t.throwsAsync(pull('bfc://nas:site.bfc'), { message: /no storage nas .*\(local\); grant Datastore\.Audit on/ });
  for (const file of [dropped, stored]) await rm(file);
  const pod = await server.pod('bfc', {}, HANDLER);
  for (const [index, image] of images.entries()) {
    const command = ['/bin/busybox', 'ls', '/'];
    const id = await server.create(pod, `c${String(index)}`, { image: { image }, command });
    await server.client.call(call.startContainer, { containerId: id });
    t.is((await server.exit(id)).exitCode, 0);
  }
  t.false((await server.output('bfc', 'c0')).includes('site'));
  t.true((await server.output('bfc', 'c1')).includes('site'));
  await leavesNothing(t, pod);
});

test.serial('a pod that fails leaves nothing', async (t) => {
  const { faults } = node.cluster.state;
  for (const type of ['vzcreate', 'vzstart']) {
    faults.add({ effect: { kind: 'task-fail', when: 'before', message: 'planted' }, match: { type } });
    await t.throwsAsync(server.pod(type, {}, HANDLER), { message: /planted/ });
    t.deepEqual(vmids(), []);
  }
  // What a first removal has unlocked is still known to be the pod's.
  faults.add({ effect: { kind: 'task-fail', when: 'before', message: 'planted' }, match: { type: 'vzcreate' } });
  faults.add({ effect: { kind: 'task-fail', when: 'before', message: 'planted' }, match: { type: 'vzdestroy' } });
  await t.throwsAsync(server.pod('twice', {}, HANDLER), { message: /planted/ });
  t.deepEqual(vmids(), [10_000]);
  await server.clear();
  t.deepEqual(vmids(), []);
  // The answer of the create is lost, and its task fails.
  faults.add({ effect: { kind: 'drop', when: 'after' }, match: { method: 'POST', path: '/lxc$' } });
  faults.add({ effect: { kind: 'task-fail', when: 'before', message: 'planted' }, match: { type: 'vzcreate' } });
  await t.throwsAsync(server.pod('cut', {}, HANDLER));
  await server.clear();
  t.deepEqual(vmids(), []);
  // The answer of the create is lost: the guest itself says what came of it.
  faults.add({ effect: { kind: 'drop', when: 'after' }, match: { method: 'POST', path: '/lxc$' } });
  const pod = await server.pod('lost', {}, HANDLER);
  t.deepEqual(vmids(), [10_000]);
  faults.add({ effect: { kind: 'drop', when: 'after' }, match: { method: 'DELETE' } });
  await leavesNothing(t, pod);
});

test.serial('a pod has the pool and the settings of its choice', async (t) => {
  const { state } = node.cluster;
  const pool = { vms: [] as number[], storage: [] };
  state.store.pools['k8s'] = pool;
  const metadata = { name: 'web', namespace: 'pooled', uid: 'pooled-1', attempt: 0 };
  const run = (values: Record<string, string>) => {
    const named = Object.entries(values).map(([key, value]) => [`proxmox-lxcri.io/${key}`, value]);
    return server.pod('pooled', { metadata, annotations: Object.fromEntries(named) as typeof values }, HANDLER);
  };
  const error = await t.throwsAsync(run({ cpulimit: 'half' }));
  t.like(error, { code: StatusCode.INVALID_ARGUMENT });
  t.regex(error.message, /annotations\["proxmox-lxcri\.io\/cpulimit"\]: "half" must be CPUs/);
  t.deepEqual(vmids(), []);

  const pod = await run({ cpulimit: '0.5', startup: 'order=3', tags: 'shop', description: 'A "shop" of 50 %' });
  const [ref] = state.guests.list();
  const { values, description } = loadGuest(state, ref!).current;
  t.like(values, { cpulimit: '0.5', startup: 'order=3', tags: 'k8s;pooled;proxmox-lxc;shop' });
  t.regex(description ?? '', /^A "shop" of 50 %\n\nPod pooled\/web, /);
  t.deepEqual(pool.vms, vmids());
  t.is(await readFile(`/sys/fs/cgroup${String((await info(pod))['cgroup'])}/cpu.max`, 'utf8'), '50000 100000\n');
  await leavesNothing(t, pod);
  t.deepEqual(pool.vms, []);
});

test.serial('Proxmox manages the networks of pods', async (t) => {
  const cni = await server.pod('cni', {}, HANDLER);
  const network = await NetworkFixture.make(t, 20);
  // An operator's guest has the second of three addresses.
  const operator = node.cluster.state.guests.list()[0]!;
  const config = join('/etc/pve/nodes/pve1/lxc', `${String(operator.vmid)}.conf`);
  await writeFile(config, `net1: name=eth1,bridge=vmbr0,ip=10.77.20.11/24\n${await readFile(config, 'utf8')}`);
  const file = join(server.directory, 'config.toml');
  const addresses = { pve1: ['10.77.20.10-10.77.20.12', 'fd77:20::10-fd77:20::ff'] };
  const extra = 'mac_prefix = "BC:24:11"\nmtu = 1400\nfirewall = true\nsecurity_groups = ["k8s-web", "k8s-all"]';
  const toml = (await readFile(file, 'utf8')).replace('[proxmox.vmids]', `${network.toml(20, addresses, extra)}\n$&`);
  await writeFile(file, toml.replace(TRUSTED, `${TRUSTED}network = "proxmox"\n`));
  await server.end('SIGKILL');
  await server.start();

  const ofLoopback = { portMappings: [{ hostPort: 8080, containerPort: 80, hostIp: '127.0.0.1' }] };
  const refused = await t.throwsAsync(server.pod('port', ofLoopback, HANDLER));
  t.like(refused, { code: StatusCode.UNIMPLEMENTED });
  t.regex(refused.message, /config\.port_mappings: host port 8080 of 127\.0\.0\.1/);

  const before = node.cluster.state.requests.length;
  const annotations = { 'kubernetes.io/ingress-bandwidth': '80M', 'kubernetes.io/egress-bandwidth': '16M' };
  const portMappings = [{ hostPort: 8080, containerPort: 80 }];
  const first = await server.pod('first', { annotations, portMappings }, HANDLER);
  const ipOf = async (podSandboxId: string) => {
    const { status } = await server.client.call(call.podSandboxStatus, { podSandboxId, verbose: false });
    return [status?.network?.ip, ...(status?.network?.additionalIps ?? []).map(({ ip }) => ip)];
  };
  t.deepEqual(await ipOf(first), ['10.77.20.10', 'fd77:20::10']);
  const vmid = vmids().at(-1)!;
  const ref = node.cluster.state.guests.find(vmid)!;
  t.is(
    loadGuest(node.cluster.state, ref).current.values['net0'],
    'name=eth0,bridge=vmbr0,firewall=1,gw=10.77.20.1,gw6=fd77:20::1,hwaddr=BC:24:11:4D:14:0A,ip=10.77.20.10/24,ip6=fd77:20::10/64,mtu=1400,rate=1.907349,tag=20,type=veth',
  );
  const changes = node.cluster.state.requests.slice(before).filter((line) => !line.startsWith('GET'));
  const guest = `/nodes/pve1/lxc/${String(vmid)}`;
  t.deepEqual(changes, [
    'POST /nodes/pve1/lxc',
    `PUT ${guest}/firewall/options`,
    ...Array<string>(2).fill(`POST ${guest}/firewall/rules`),
    `POST ${guest}/status/start`,
  ]);
  const { options, rules } = node.cluster.state.store.firewall[String(vmid)]!;
  t.like(options, { enable: 1, ipfilter: 1, policy_in: 'DROP' });
  t.deepEqual(
    rules.map(({ action }) => action),
    ['k8s-web', 'k8s-all'],
  );
  t.is(await network.vlanOf(`fwpr${String(vmid)}p0`), 20);

  const reach = 'ping -c 1 -w 20 10.77.20.1 && ping -c 1 -w 20 fd77:20::1 && ip -o link show eth0 && echo reached';
  await server.sh(first, 'app', `${reach}; cd /tmp; echo page >index.html; httpd -p 80; ${FOREVER}`);
  await server.said('first', 'app', 'ready');
  for (const host of ['10.77.20.1', '[fd77:20::1]'])
    t.is(await output('busybox', 'wget', '-qO-', `http://${host}:8080/`), 'page\n');
  t.regex(await server.output('first', 'app'), /eth0.* mtu 1400 /);
  const inFirst = ['--net', '--target', String((await info(first))['pid'])];
  await output('nsenter', ...inFirst, 'ip', 'address', 'delete', 'fd77:20::10/64', 'dev', 'eth0');
  await server.end('SIGKILL');
  await server.start();
  await eventually('the check of the network', async () => (await server.log()).includes('eth0 has lost fd77:20::10"'));
  const second = await server.pod('second', {}, HANDLER);
  t.deepEqual(await ipOf(second), ['10.77.20.12', 'fd77:20::11']);
  t.like(await t.throwsAsync(server.pod('third', {}, HANDLER)), { code: StatusCode.RESOURCE_EXHAUSTED });
  await stop(first);
  const inTable = await Promise.all(['iptables', 'ip6tables'].map((program) => output(program, '-t', 'nat', '-S')));
  t.notRegex(inTable.join(''), /8080/);
  for (const pod of [first, second]) await stop(pod).then(() => remove(pod));
  t.deepEqual(network.links(), []);
  await leavesNothing(t, cni);
  const map = JSON.parse(await readFile(join(server.directory, 'root', 'addresses.json'), 'utf8')) as unknown;
  t.deepEqual(map, { format: 1, addresses: {} });

  const readiness = async () => {
    const { status } = await server.client.call(call.status, { verbose: false });
    return status?.conditions.find(({ type }) => type === 'NetworkReady');
  };
  t.like(await readiness(), { status: true });
  await output('ip', 'link', 'set', 'vmbr0', 'down');
  t.like(await readiness(), {
    status: false,
    message: 'proxmox.networks[0].bridge: vmbr0 is down; run: ip link set vmbr0 up',
  });
});
