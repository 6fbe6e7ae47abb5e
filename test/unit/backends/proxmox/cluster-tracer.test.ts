import { writeFile } from 'node:fs/promises';
import test, { type ExecutionContext } from 'ava';
import { ClusterTracer } from '../../../../src/backends/proxmox/guests/cluster-tracer.ts';
import { createGuest } from '../../../../src/backends/proxmox/guests/create-guest.ts';
import { ownerOf, withOwner } from '../../../../src/backends/proxmox/guests/owner-mark.ts';
import { Secret } from '../../../../src/integrations/proxmox-api/auth/secret.ts';
import { connectProxmox } from '../../../../src/integrations/proxmox-api/client.ts';
import { AmbiguousOutcomeError } from '../../../../src/integrations/proxmox-api/errors/proxmox-error.ts';
import { startCluster } from '../../../pve/cluster.ts';
import { type Certificate, makeCertificate } from '../../../pve/http/certificate.ts';

const settings = { ostemplate: 'local:vztmpl/a.tar.gz', rootfs: 'local:0', unprivileged: true };
const ref = { kind: 'lxc', node: 'pve1', vmid: 101 } as const;
const FREE = { datasets: [], firewall: false, highAvailability: [], tasks: [], units: [] };

let certificate: Certificate;
test.before(async () => {
  certificate = await makeCertificate('pve1');
});

async function start(t: ExecutionContext) {
  const cluster = await startCluster({ nodes: ['pve1', 'pve2'], certificate });
  t.teardown(() => cluster.close());
  await writeFile(cluster.state.volumes.target('local', 'vztmpl', 'a.tar.gz'), 'archive');
  const api = await connectProxmox({
    hosts: cluster.nodes.map(({ url }) => new URL(url).host),
    trust: { fingerprints: [certificate.fingerprint] },
    credentials: { kind: 'token', secret: new Secret(cluster.token('root@pam', 'k8s').replace('PVEAPIToken=', '')) },
  });
  t.teardown(() => api.close());
  const isUncertain = (error: unknown): boolean => error instanceof AmbiguousOutcomeError;
  const create = (owner: string, node = 'pve1') =>
    createGuest(101, { api, isUncertain, node, kind: 'lxc', owner, settings: { ...settings, description: 'notes' } });
  const traces = (node = 'pve1', storage = 'local') =>
    new ClusterTracer(api, node, storage, () => Promise.resolve([])).tracesOf(101);
  return { api, state: cluster.state, create, traces };
}

test('a guest and who made it', async (t) => {
  const { api, create, traces } = await start(t);
  t.deepEqual(await traces(), FREE);
  t.is(await create('pod-1'), 'created');
  const guest = { node: 'pve1', owner: 'pod-1' };
  t.deepEqual(await traces(), { ...FREE, guest });
  t.deepEqual(await traces('pve2'), { ...FREE, guest }, 'from another node');
  t.is(await create('pod-2'), 'taken');
  t.is(await create('pod-2', 'pve2'), 'taken');
  await api.guests.configure(ref, { set: { description: 'mine' } });
  t.deepEqual((await traces()).guest, { node: 'pve1' });
});

test('what outlives its guest', async (t) => {
  const { api, state, create, traces } = await start(t);
  await create('pod-1');
  await api.firewall.addRule(ref, { type: 'in', action: 'DROP' });
  state.store.ha['ct:101'] = { state: 'started' };
  state.guests.remove(state.guests.find(101)!);
  t.deepEqual(await traces(), {
    ...FREE,
    datasets: ['local:101/subvol-101-disk-0.subvol'],
    firewall: true,
    highAvailability: ['ct:101'],
  });
});

test('while the storage is not active nothing is known', async (t) => {
  const { state, traces } = await start(t);
  const content = ['images', 'rootdir'];
  state.store.storages['tank'] = { type: 'zfspool', pool: 'tank', content, options: {} };
  await state.volumes.allocate('tank', { vmid: 101, format: 'subvol', size: 1024 ** 3 });
  t.deepEqual(await traces('pve1', 'tank'), { ...FREE, datasets: ['tank:subvol-101-disk-0'] });
  state.store.missingPools = ['tank'];
  await t.throwsAsync(traces('pve1', 'tank'), { message: /^storage tank is not active on node pve1/ });
  t.deepEqual(await traces(), FREE, 'of another storage nobody asks');
});

test('aliases and address sets alone are a firewall', async (t) => {
  const { state, traces } = await start(t);
  const leave = (room: 'aliases' | 'ipset') => {
    const fresh = { options: {}, rules: [], aliases: {}, ipset: {} };
    state.store.firewall['101'] = { ...fresh, [room]: { web: { cidr: '10.0.0.0/24' } } };
  };
  leave('aliases');
  t.deepEqual(await traces(), { ...FREE, firewall: true });
  leave('ipset');
  t.deepEqual(await traces(), { ...FREE, firewall: true });
});

test('a machine leaves its firewall to a container', async (t) => {
  const { api, state, traces } = await start(t);
  const machine = { ...ref, kind: 'qemu' } as const;
  await api.tasks.follow(await api.guests.create(machine, { memory: 64 }));
  await api.firewall.configure(machine, { enable: true });
  t.deepEqual(await api.firewall.options(ref), await api.firewall.options(machine));
  state.guests.remove(state.guests.find(101)!);
  t.deepEqual(await traces(), { ...FREE, firewall: true });
});

test('a guest that is still being made', async (t) => {
  const { state, create, traces } = await start(t);
  state.faults.add({ effect: { kind: 'task-hold' } });
  const made = create('pod-1');
  let seen = await traces();
  while (seen.guest === undefined) seen = await traces();
  t.deepEqual(seen.guest, { node: 'pve1', unfinished: true });
  t.regex((await traces()).tasks.join(), /:vzcreate:101:/);
  state.faults.release();
  t.is(await made, 'created');
});

for (const effect of [
  { kind: 'drop', when: 'after' },
  { kind: 'status', when: 'after', status: 596, reason: 'Connection timed out' },
  { kind: 'task-fail', when: 'after', message: 'command failed' },
] as const)
  test(`${effect.kind} after the effect makes one guest`, async (t) => {
    const { state, create, traces } = await start(t);
    state.faults.add({ effect, ...(effect.kind !== 'task-fail' && { match: { method: 'POST' } }) });
    t.is(await create('pod-1'), 'created');
    t.like(await traces(), { guest: { owner: 'pod-1' } });
    t.is(state.guests.list().length, 1);
  });

test('a refused create is thrown at once', async (t) => {
  const { state, create, traces } = await start(t);
  state.faults.add({ effect: { kind: 'no-quorum' } });
  await t.throwsAsync(create('pod-1'), { message: /no quorum/ });
  t.deepEqual(await traces(), FREE);
});

test('notes keep their text beside the owner', (t) => {
  t.is(withOwner('a\nb', 'pod-1'), 'a\nb\n\nKubernetes pod pod-1 of proxmox-lxcri');
  t.is(ownerOf(`${withOwner(undefined, 'pod-1')}\n`), 'pod-1');
  t.is(ownerOf(withOwner('Kubernetes pod x of proxmox-lxcri', 'pod-1')), 'pod-1');
  t.is(ownerOf('Kubernetes pod x of proxmox-lxcri\nand more'), undefined);
  t.is(ownerOf(undefined), undefined);
});
