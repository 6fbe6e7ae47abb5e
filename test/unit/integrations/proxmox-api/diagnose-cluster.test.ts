import test, { type ExecutionContext } from 'ava';
import type { Finding } from '../../../../src/core/model/finding.ts';
import { type DiagnosisOptions, diagnoseCluster } from '../../../../src/integrations/proxmox-api/diagnose/diagnose.ts';
import type { ClusterOptions } from '../../../pve/cluster.ts';
import { lxc } from '../../../pve/config/kind.ts';
import { ask } from '../../../pve/http/ask.ts';
import { type Certificate, makeCertificate } from '../../../pve/http/certificate.ts';
import { nodeShell } from '../../../pve/program/shell.ts';
import { bad, startDiagnosed, subjects, TOKEN } from './diagnosed-cluster.ts';

let certificate: Certificate;
test.before(async () => {
  certificate = await makeCertificate('pve1');
});

const ranges = [
  { node: 'pve1', first: 100_000, size: 3 },
  { node: 'pve2', first: 100_003, size: 2 },
];

/** A cluster whose token may everything. */
async function start(t: ExecutionContext, options: ClusterOptions = {}, changes: Partial<DiagnosisOptions> = {}) {
  const { cluster, settings } = await startDiagnosed(t, certificate, options);
  const grant = { path: '/', roleid: 'Administrator', propagate: 1 } as const;
  cluster.state.store.acl.push({ ...grant, type: 'user', ugid: 'k8s@pve' }, { ...grant, type: 'token', ugid: TOKEN });
  const diagnose = () => diagnoseCluster({ ...settings, ranges, ...changes });
  const lines = async () => bad(await diagnose()).flatMap(({ commands = [] }) => commands);
  return { cluster, settings, diagnose, lines };
}

const about = (findings: readonly Finding[], subject: string) => findings.find((one) => one.subject === subject);

for (const release of ['8.4', '9.2'] as const)
  test(`the lines for backup jobs of ${release} spare the pods`, async (t) => {
    const { cluster, diagnose, lines } = await start(t, { release }, { pools: ['k8s'] });
    const { pools } = cluster.state.store;
    pools['k8s'] = { vms: [], storage: [] };
    pools['web'] = { vms: [], storage: [] };
    for (const [vmid, pool] of [
      [101, 'web'],
      [100_000, 'web'],
      [100_001, 'k8s'],
    ] as const) {
      cluster.state.guests.write({ kind: lxc, node: 'pve1', vmid }, 'arch: amd64\n');
      pools[pool]?.vms.push(vmid);
    }
    const add = async (id: string, job: Record<string, unknown>) => {
      const { status, reason } = await ask(cluster, 'POST', '/cluster/backup', { body: { id, ...job } });
      t.is(status, 200, reason);
    };
    await add('disabled', { all: 1, enabled: 0 });
    await add('others', { vmid: '101,102' });
    await add('spared', { all: 1, exclude: '100000,100001,100002,100003,100004' });
    await add('elsewhere', { all: 1, node: 'pve9' });
    t.deepEqual(bad(await diagnose()), []);
    t.like(about(await diagnose(), 'Proxmox backup jobs'), { status: 'ok' });

    await add('nightly', { all: 1, exclude: '107,100001' });
    await add('first', { all: 1, node: 'pve1' });
    await add('list', { vmid: '101,100001' });
    await add('pod', { vmid: '100001' });
    await add('shared', { pool: 'web' });
    await add('pods', { pool: 'k8s' });
    t.deepEqual(await lines(), [
      'pvesh set /cluster/backup/nightly --exclude "107,$(seq -s, 100000 100002),$(seq -s, 100003 100004)"',
      'pvesh set /cluster/backup/first --exclude "$(seq -s, 100000 100002)"',
      'pvesh set /cluster/backup/list --vmid 101',
      'pvesh set /cluster/backup/pod --enabled 0',
      'pvesh set /cluster/backup/shared --vmid 101',
      'pvesh set /cluster/backup/pods --enabled 0',
    ]);
    const nightly = about(await diagnose(), 'Proxmox backup job nightly');
    t.like(nightly, { status: 'warning', remedy: 'exclude their VMIDs, on a node:' });
    t.regex(nightly?.found ?? '', /the guests of pods \(pve1: 100000-100002, pve2: 100003-100004\)/);
    await nodeShell(cluster, await lines());
    t.deepEqual(bad(await diagnose()), []);
    t.is(cluster.state.store.backups['nightly']?.['exclude'], '107,100000,100001,100002,100003,100004');
  });

test('a job of odd name is one word of the shell', async (t) => {
  const { cluster, lines } = await start(t);
  const id = "a'b$c";
  cluster.state.store.backups[id] = { all: 1 };
  t.regex((await lines())[0] ?? '', /^pvesh set \/cluster\/backup\/'a'\\''b\$c' --exclude /);
});

test('without quorum the offline nodes are named', async (t) => {
  const { cluster, diagnose } = await start(t, { nodes: ['pve1', 'pve2', 'pve3', 'pve4'] });
  t.like(about(await diagnose(), 'Proxmox quorum'), { status: 'ok', found: '4 of 4 nodes online' });
  await cluster.setDown('pve3', true);
  await cluster.setDown('pve4', true);
  const lost = about(await diagnose(), 'Proxmox quorum');
  t.like(lost, { status: 'missing', commands: ['pvecm status', 'pvecm expected 2'] });
  t.regex(lost?.found ?? '', /^2 of 4 nodes online: no guest can be created or started/);
  t.regex(lost?.remedy ?? '', /^start pve3 and pve4,/);
});

test('two nodes need a QDevice to outlive one', async (t) => {
  const { cluster, diagnose } = await start(t, { nodes: ['pve1', 'pve2'] });
  const alone = about(await diagnose(), 'Proxmox quorum');
  t.like(alone, { status: 'warning', commands: ['pvecm qdevice setup ADDRESS'] });
  t.regex(alone?.found ?? '', /^2 of 2 nodes online, no QDevice: when one node is down/);
  cluster.state.store.qdevice = true;
  t.like(about(await diagnose(), 'Proxmox quorum'), { status: 'ok' });
  await cluster.setDown('pve2', true);
  t.like(about(await diagnose(), 'Proxmox quorum'), { status: 'ok', found: '1 of 2 nodes online' });
});

test('bridges must be there and up', async (t) => {
  const bridges = ['vmbr0', 'vmbr7', 'zone1/pods', 'zone1/none'];
  const { cluster, diagnose } = await start(t, {}, { bridges });
  cluster.state.store.zones['zone1'] = { type: 'simple' };
  cluster.state.store.vnets['pods'] = { zone: 'zone1' };
  const findings = await diagnose();
  t.like(about(findings, 'proxmox.bridges vmbr0'), { status: 'ok', found: 'bridge, active on pve1' });
  t.like(about(findings, 'proxmox.bridges zone1/pods'), { status: 'ok' });
  t.like(about(findings, 'proxmox.bridges vmbr7'), {
    status: 'missing',
    found: 'node pve1 has no such bridge (vmbr0, vmbr1, pods)',
    commands: [
      'pvesh create /nodes/pve1/network --iface vmbr7 --type bridge --autostart 1',
      'pvesh set /nodes/pve1/network',
    ],
  });
  t.like(about(findings, 'proxmox.bridges zone1/none'), {
    commands: ['pvesh create /cluster/sdn/vnets --vnet none --zone zone1', 'pvesh set /cluster/sdn'],
  });
});

test('bridges of networks must be there, and VLAN-aware for VLANs', async (t) => {
  const networks = [
    { bridge: 'vmbr0', tag: 20, firewall: false, security_groups: [] },
    { bridge: 'vmbr1', tag: 30, firewall: false, security_groups: [] },
    { bridge: 'vmbr8', tag: 0, firewall: false, security_groups: [] },
  ];
  const { diagnose } = await start(t, {}, { bridges: ['vmbr0'], networks });
  const findings = await diagnose();
  t.like(about(findings, 'proxmox.bridges vmbr0'), {
    status: 'missing',
    found: 'is not VLAN-aware, and guests are in VLAN 20',
  });
  t.like(about(findings, 'proxmox.networks vmbr1'), { status: 'ok', found: 'bridge, VLAN-aware, active on pve1' });
  t.like(about(findings, 'proxmox.networks vmbr8'), { status: 'missing' });
});

test('the firewall must be on, and its groups there, where networks use it', async (t) => {
  const networks = [{ bridge: 'vmbr0', tag: 0, firewall: true, security_groups: ['web', 'dns'] }];
  const { cluster, diagnose, lines } = await start(t, {}, { networks });
  t.like(about(await diagnose(), 'Proxmox firewall'), { status: 'missing' });
  t.deepEqual(
    await lines(),
    ['web', 'dns'].map((name) => `pvesh create /cluster/firewall/groups --group ${name}`),
  );
  await nodeShell(cluster, await lines());
  t.like(about(await diagnose(), 'Proxmox firewall'), {
    status: 'warning',
    found: 'is off: nothing is filtered for pods',
  });
  await nodeShell(cluster, await lines());
  t.like(about(await diagnose(), 'Proxmox firewall'), { status: 'ok', found: 'on, web, dns' });
});

test('what a token may not see is no finding', async (t) => {
  const { settings } = await startDiagnosed(t, certificate);
  const findings = await diagnoseCluster({ ...settings, ranges });
  t.deepEqual(
    subjects(findings).filter((subject) => /quorum|backup|bridges|snippets/.test(subject)),
    [],
  );
});

for (const release of ['8.4', '9.2'] as const)
  test(`the lines for storages of ${release} add up`, async (t) => {
    const tank = { type: 'zfspool', pool: 'tank', content: ['rootdir'], options: {} } as const;
    const { cluster, diagnose, lines } = await start(t, {
      release,
      storages: { tank: { ...tank, content: [...tank.content] } },
    });
    const local = cluster.state.store.storages['local'];
    if (local === undefined) throw new Error('no storage local');
    local.content = ['iso'];
    t.like(about(await diagnose(), 'Proxmox snippets'), { status: 'warning' });
    t.deepEqual(await lines(), [
      'pvesm set local --content iso,rootdir',
      'pvesm set local --content iso,rootdir,vztmpl',
      'pvesm set local --content iso,rootdir,vztmpl,snippets',
    ]);
    await nodeShell(cluster, await lines());
    t.deepEqual(bad(await diagnose()), []);
    t.like(about(await diagnose(), 'Proxmox snippets'), { status: 'ok', found: 'on storage local' });
    const files = about(await diagnose(), 'Proxmox BFC files');
    t.is(files?.status, 'ok');
    t.regex(files?.found ?? '', /can name files on local; Datastore\.Audit on/);
  });
