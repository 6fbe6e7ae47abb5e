import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { type DiagnosisOptions, diagnoseCluster } from '../../../../src/integrations/proxmox-api/diagnose/diagnose.ts';
import type { ClusterOptions } from '../../../pve/cluster.ts';
import { type Certificate, makeCertificate } from '../../../pve/http/certificate.ts';
import { pveum } from '../../../pve/program/pveum.ts';
import { bad, startDiagnosed, subjects, TOKEN } from './diagnosed-cluster.ts';

let certificate: Certificate;
test.before(async () => {
  certificate = await makeCertificate('pve1');
});

const start = (t: ExecutionContext, options: ClusterOptions = {}) => startDiagnosed(t, certificate, options);

for (const release of ['8.4', '9.2'] as const) {
  test(`the remedies of ${release} make a token whole`, async (t) => {
    const { cluster, settings } = await start(t, { release });
    const first = bad(await diagnoseCluster(settings));
    const agent = release === '8.4' ? 'VM.Monitor' : 'VM.GuestAgent.Unrestricted';
    t.like(first[0], {
      subject: 'Proxmox /vms',
      status: 'missing',
      commands: [
        "pveum role add LxcriGuests --privs 'VM.Allocate,VM.Audit,VM.Clone,VM.Config.CPU,VM.Config.Disk,VM.Config.Memory,VM.Config.Network,VM.Config.Options,VM.Console,VM.PowerMgmt,VM.Snapshot'",
        "pveum acl modify /vms --users 'k8s@pve' --roles LxcriGuests",
        "pveum acl modify /vms --tokens 'k8s@pve!node' --roles LxcriGuests",
      ],
    });
    t.regex(first[0]?.found ?? '', /^k8s@pve!node lacks VM\.Allocate, VM\.Audit, .* on \/vms.*both it and its user/);
    t.like(first[1], { status: 'warning' });
    t.regex(first[1]?.found ?? '', new RegExp(`lacks VM\\.Config\\.Cloudinit, VM\\.Config\\.HWType, ${agent} on /vms`));
    const privileged = first.find(({ found }) => /lacks .*Sys\.Modify on \/;/.test(found));
    t.is(privileged?.status, release === '8.4' ? undefined : 'missing');
    for (const { commands } of first) pveum(cluster.state, commands);
    const second = await diagnoseCluster(settings);
    t.deepEqual(bad(second), []);
    t.true(second.some(({ found }) => found.startsWith(`Proxmox VE ${release}`)));
    t.true(subjects(second).includes('proxmox.storage local'));
  });

  test(`one missing privilege is named on ${release}`, async (t) => {
    const { cluster, settings } = await start(t, { release });
    for (const { commands } of bad(await diagnoseCluster(settings))) pveum(cluster.state, commands);
    const { store } = cluster.state;
    for (const name of ['LxcriGuests', 'LxcriMachines'])
      store.roles[name] = (store.roles[name] ?? []).filter((one) => one !== 'VM.Config.CPU');
    cluster.state.save();
    const [finding, ...others] = bad(await diagnoseCluster(settings));
    t.deepEqual(others, []);
    t.regex(finding?.found ?? '', /lacks VM\.Config\.CPU on \/vms/);
    t.regex(finding?.commands?.[0] ?? '', /^pveum role modify LxcriGuests --privs '.*' --append 1$/);
    pveum(cluster.state, finding?.commands);
    t.deepEqual(bad(await diagnoseCluster(settings)), []);
  });
}

test('the part of the user is named where it is known', async (t) => {
  const { cluster, settings } = await start(t);
  for (const { commands } of bad(await diagnoseCluster(settings))) pveum(cluster.state, commands);
  const { store } = cluster.state;
  const audit = { path: '/access', roleid: 'PVEAuditor', propagate: 1 } as const;
  store.acl.push({ ...audit, type: 'user', ugid: 'k8s@pve' }, { ...audit, type: 'token', ugid: TOKEN });
  const without = (type: string, path: string) => {
    store.acl = store.acl.filter((grant) => grant.type !== type || grant.path !== path);
  };
  without('token', '/nodes/pve1');
  without('user', '/sdn/zones/localnetwork/vmbr0');
  const findings = bad(await diagnoseCluster(settings));
  t.deepEqual(subjects(findings), ['Proxmox /sdn/zones/localnetwork/vmbr0', 'Proxmox /nodes/pve1']);
  t.regex(findings[0]?.found ?? '', /its user k8s@pve lacks SDN\.Use too/);
  t.deepEqual(findings[0]?.commands, [
    "pveum acl modify /sdn/zones/localnetwork/vmbr0 --users 'k8s@pve' --roles LxcriNetwork",
    "pveum acl modify /sdn/zones/localnetwork/vmbr0 --tokens 'k8s@pve!node' --roles LxcriNetwork",
  ]);
  t.regex(findings[1]?.found ?? '', /its user k8s@pve has them, but a token with privilege separation/);
  t.deepEqual(findings[1]?.commands, ["pveum acl modify /nodes/pve1 --tokens 'k8s@pve!node' --roles LxcriNode"]);
});

test('a grant that does not propagate is not enough', async (t) => {
  const { cluster, settings } = await start(t);
  for (const { commands } of bad(await diagnoseCluster(settings))) pveum(cluster.state, commands);
  for (const grant of cluster.state.store.acl) if (grant.path === '/vms') grant.propagate = 0;
  t.deepEqual(subjects(bad(await diagnoseCluster(settings))), ['Proxmox /vms', 'Proxmox /vms']);
  t.regex(bad(await diagnoseCluster(settings))[0]?.found ?? '', /on \/vms, propagated to what is below/);
});

test('a pool has the privileges in place of all guests', async (t) => {
  const { cluster, settings } = await start(t);
  cluster.state.store.pools['k8s'] = { vms: [], storage: [] };
  const findings = bad(await diagnoseCluster({ ...settings, pools: ['k8s'] }));
  t.deepEqual(subjects(findings).slice(0, 2), ['Proxmox /pool/k8s', 'Proxmox /pool/k8s']);
  t.regex(findings[0]?.found ?? '', /Pool\.Audit on \/pool\/k8s;/);
});

test('pools of namespaces are seen beside all guests', async (t) => {
  const { cluster, settings } = await start(t);
  const pools = ['', 'k8s/a', 'k8s/b'];
  cluster.state.store.pools['k8s'] = { vms: [], storage: [] };
  cluster.state.store.pools['k8s/b'] = { vms: [], storage: [] };
  const before = bad(await diagnoseCluster({ ...settings, pools }));
  t.deepEqual(
    before.filter(({ subject }) => subject.startsWith('Proxmox /pool/')).map(({ found }) => found.split(';')[0]),
    ['k8s@pve!node lacks Pool.Audit on /pool/k8s/a', 'k8s@pve!node lacks Pool.Audit on /pool/k8s/b'],
  );
  for (const { commands } of before) pveum(cluster.state, commands);
  t.like(bad(await diagnoseCluster({ ...settings, pools })), [
    { subject: 'Proxmox pools', status: 'missing', commands: ['pveum pool add k8s/a'] },
  ]);
  cluster.state.store.pools['k8s/a'] = { vms: [], storage: [] };
  t.deepEqual(bad(await diagnoseCluster({ ...settings, pools })), []);
});

test('each pool has the privileges where all guests are pooled', async (t) => {
  const { settings } = await start(t);
  const findings = bad(await diagnoseCluster({ ...settings, pools: ['k8s', 'k8s/a'] }));
  for (const path of ['/pool/k8s', '/pool/k8s/a']) {
    const needed = findings.find(({ subject, status }) => subject === `Proxmox ${path}` && status === 'missing');
    t.regex(needed?.found ?? '', /lacks VM\.Allocate, .*Pool\.Audit on /, path);
  }
});

test('a wrong secret is a refused token', async (t) => {
  const { settings, tokenFile } = await start(t);
  await writeFile(tokenFile, '00000000-planted');
  const findings = await diagnoseCluster(settings);
  t.deepEqual(subjects(bad(findings)), ['Proxmox token']);
  t.regex(findings.at(-1)?.remedy ?? '', /has expired or is disabled, and whether .*token holds its secret/);
  t.deepEqual(findings.at(-1)?.commands, [
    "pveum user token list 'k8s@pve'",
    "pveum user token remove 'k8s@pve' node",
    "pveum user token add 'k8s@pve' node",
  ]);
});

test('a wrong fingerprint or authority has its remedy', async (t) => {
  const { settings, tokenFile } = await start(t);
  const of = async (trust: DiagnosisOptions['trust']) => bad(await diagnoseCluster({ ...settings, trust }))[0];
  const wrong = await of({ fingerprints: [certificate.fingerprint.replaceAll(/^../g, '00')] });
  t.is(wrong?.status, 'missing');
  t.true(wrong?.found.includes(`fingerprint ${certificate.fingerprint}, which is not trusted`) === true, wrong?.found);
  t.regex(wrong?.remedy ?? '', /pvenode cert info.*proxmox\.fingerprints/);
  const other = await makeCertificate('pve9');
  t.regex((await of({ ca: other.authority }))?.remedy ?? '', /pve-root-ca\.pem/);
  t.regex((await of({ ca: { file: `${tokenFile}.pem` } }))?.found ?? '', /token\.pem: does not exist/);
});

test('a name that the certificate lacks is explained', async (t) => {
  const { settings } = await start(t, { host: '127.0.0.2' });
  const [finding] = bad(await diagnoseCluster({ ...settings, trust: { ca: certificate.authority } }));
  t.regex(finding?.remedy ?? '', /as its certificate names it/);
});

test('an unreachable host is a warning beside others', async (t) => {
  const { cluster, settings } = await start(t, { nodes: ['pve1', 'pve2'] });
  await cluster.setDown('pve2', true);
  const [, , down] = await diagnoseCluster(settings);
  t.like(down, { status: 'warning', subject: `Proxmox host ${settings.hosts[1] ?? ''}` });
  t.regex(down?.remedy ?? '', /systemctl start pveproxy/);
  await cluster.setDown('pve1', true);
  const findings = await diagnoseCluster(settings);
  t.deepEqual(
    bad(findings).map(({ status }) => status),
    ['missing', 'missing'],
  );
});

test('token files that leak or hold nothing are reported', async (t) => {
  const { settings, tokenFile } = await start(t);
  const { chmod } = await import('node:fs/promises');
  await chmod(tokenFile, 0o644);
  t.like((await diagnoseCluster(settings))[0], { status: 'warning', commands: [`chmod 600 ${tokenFile}`] });
  await writeFile(tokenFile, `${TOKEN}=00000000-planted`);
  t.regex((await diagnoseCluster(settings))[0]?.found ?? '', /holds more than the secret of k8s@pve!node$/);
  await rm(tokenFile);
  t.like((await diagnoseCluster(settings))[0], { status: 'missing', found: `${tokenFile}: does not exist` });
});

test('storages must be there, on, and for guests', async (t) => {
  const { cluster, settings } = await start(t);
  for (const { commands } of bad(await diagnoseCluster(settings))) pveum(cluster.state, commands);
  const local = cluster.state.store.storages['local'];
  if (local === undefined) throw new Error('no storage local');
  local.content = ['iso', 'vztmpl'];
  t.like(bad(await diagnoseCluster(settings))[0], {
    found: 'may not hold rootdir',
    commands: ['pvesm set local --content iso,vztmpl,rootdir'],
  });
  local.options['disable'] = 1;
  t.like(bad(await diagnoseCluster(settings))[0], { found: 'is disabled' });
  const findings = bad(await diagnoseCluster({ ...settings, storage: 'tank' }));
  t.regex(findings.find(({ subject }) => subject === 'proxmox.storage tank')?.found ?? '', /no such storage/);
});

test('tickets of root need the keys of a node', async (t) => {
  const { cluster, settings } = await start(t);
  const keys = join(cluster.state.directory, 'etc/pve');
  const localRoot = { authKeyFile: join(keys, 'priv/authkey.key'), csrfKeyFile: join(keys, 'pve-www.key') };
  const of = async (root: DiagnosisOptions['localRoot']) =>
    (await diagnoseCluster({ ...settings, localRoot: root })).find(({ subject }) => subject === 'Proxmox root ticket');
  t.is((await of(localRoot))?.status, 'ok');
  const lacking = await of({ ...localRoot, authKeyFile: join(keys, 'none.key') });
  t.like(lacking, { status: 'missing', found: `${join(keys, 'none.key')}: does not exist` });
  t.regex(lacking?.remedy ?? '', /proxmox\.local_root_ticket = false/);
});

test('a node that the cluster lacks is named', async (t) => {
  const { settings } = await start(t);
  const findings = await diagnoseCluster({ ...settings, node: 'pve7' });
  t.like(findings.at(-1), { status: 'missing', found: 'the cluster has no node pve7, but pve1' });
});
