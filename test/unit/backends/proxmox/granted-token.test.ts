import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { ClusterTracer } from '../../../../src/backends/proxmox/guests/cluster-tracer.ts';
import { createGuest } from '../../../../src/backends/proxmox/guests/create-guest.ts';
import { VmidAllocator } from '../../../../src/backends/proxmox/guests/vmid-allocator.ts';
import { VmidMap } from '../../../../src/backends/proxmox/guests/vmid-map.ts';
import { connectProxmox } from '../../../../src/integrations/proxmox-api/client.ts';
import { diagnoseCluster } from '../../../../src/integrations/proxmox-api/diagnose/diagnose.ts';
import { AmbiguousOutcomeError } from '../../../../src/integrations/proxmox-api/errors/proxmox-error.ts';
import { startCluster } from '../../../pve/cluster.ts';
import { type Certificate, makeCertificate } from '../../../pve/http/certificate.ts';
import { pveum } from '../../../pve/program/pveum.ts';
import { silent } from './silent.ts';

const TOKEN = 'k8s@pve!node';
const range = { first: 10_000, size: 2 };

let certificate: Certificate;
test.before(async () => {
  certificate = await makeCertificate('pve1');
});

for (const [release, pool, pools, where] of [
  ['8.4', '', [''], ''],
  ['9.2', '', [''], ''],
  ['8.4', 'k8s', ['k8s'], ' in a pool'],
  ['9.2', 'k8s', ['k8s'], ' in a pool'],
  ['9.2', 'k8s/a', ['', 'k8s/a'], ' with some guests in a pool'],
] as const)
  test(`what doctor asks for suffices on ${release}${where}`, async (t) => {
    await using cluster = await startCluster({ certificate, release });
    const { state } = cluster;
    const { store } = state;
    store.users['k8s@pve'] = { enable: 1, expire: 0 };
    for (const name of ['k8s', 'k8s/a']) store.pools[name] = { vms: [], storage: [] };
    const secret = cluster.token('k8s@pve', 'node', true).replace(/^.*=/, '');
    const directory = await mkdtemp(join(tmpdir(), 'granted-token-'));
    t.teardown(() => rm(directory, { recursive: true }));
    const tokenFile = join(directory, 'token');
    await writeFile(tokenFile, secret, { mode: 0o600 });
    await writeFile(state.volumes.target('local', 'vztmpl', 'a.tar.gz'), 'archive');
    const reached = {
      hosts: cluster.nodes.map(({ url }) => new URL(url).host),
      trust: { fingerprints: [certificate.fingerprint] },
    };
    const places = {
      node: 'pve1',
      pools,
      storage: 'local',
      templateStorage: 'local',
      bridges: [],
      networks: [{ bridge: 'vmbr1', tag: 20, firewall: true, security_groups: [] }],
      ranges: [],
    };
    const lacks = await diagnoseCluster({ ...reached, ...places, tokenId: TOKEN, tokenFile, localRoot: undefined });
    // Only what every pod needs.
    for (const { status, commands } of lacks) if (status === 'missing') pveum(state, commands);

    const api = await connectProxmox({
      ...reached,
      credentials: { kind: 'token', id: TOKEN, secret: { file: tokenFile } },
    });
    t.teardown(() => api.close());
    const map = await VmidMap.open(join(directory, 'vmids.json'));
    const tracer = new ClusterTracer(api, 'pve1', 'local', () => Promise.resolve([]));
    const allocator = new VmidAllocator({ range, field: 'vmids.pve1', map, tracer, logger: silent });
    const settings = {
      ostemplate: 'local:vztmpl/a.tar.gz',
      rootfs: 'local:1',
      net0: 'name=eth0,bridge=vmbr1,tag=20,firewall=1',
      unprivileged: true,
      ...(pool !== '' && { pool }),
    };
    const isUncertain = (error: unknown): boolean => error instanceof AmbiguousOutcomeError;
    const make = (owner: string) =>
      allocator.allocate(owner, (vmid) =>
        createGuest(vmid, { api, isUncertain, node: 'pve1', kind: 'lxc', owner, settings }),
      );
    const ref = { kind: 'lxc', node: 'pve1', vmid: range.first } as const;

    t.is(await make('pod-1'), range.first);
    await api.guests.configure(ref, { set: { memory: 64 } });
    await api.firewall.configure(ref, { enable: 1, policy_in: 'DROP', ipfilter: 1 });
    await api.firewall.addRule(ref, { type: 'group', action: 'k8s-pods', enable: 1 });
    await api.tasks.follow(await api.guests.start(ref));
    await api.tasks.follow(await api.guests.stop(ref));
    await api.tasks.follow(await api.guests.delete(ref, { purge: true, destroyUnreferencedDisks: true }));
    await allocator.release(range.first);
    t.is(await make('pod-2'), range.first, 'used again');

    // Somebody removes the guest's file alone.
    await api.firewall.addRule(ref, { type: 'in', action: 'DROP' });
    store.ha[`ct:${range.first}`] = { state: 'started' };
    state.guests.remove(state.guests.find(range.first)!);
    if (pool !== '') store.pools[pool] = { vms: [], storage: [] };
    t.deepEqual(await tracer.tracesOf(range.first), {
      datasets: [`local:${range.first}/vm-${range.first}-disk-0.raw`],
      firewall: true,
      highAvailability: [`ct:${range.first}`],
      tasks: [],
      units: [],
    });
    t.is(await make('pod-3'), range.first + 1, 'not used again');
  });
