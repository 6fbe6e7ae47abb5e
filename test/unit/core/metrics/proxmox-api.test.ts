import { writeFile } from 'node:fs/promises';
import test from 'ava';
import { Metrics } from '../../../../src/core/metrics/metrics.ts';
import { Secret } from '../../../../src/integrations/proxmox-api/auth/secret.ts';
import { connectProxmox } from '../../../../src/integrations/proxmox-api/client.ts';
import { startCluster } from '../../../pve/cluster.ts';
import { makeCertificate } from '../../../pve/http/certificate.ts';

test('calls and tasks of Proxmox are counted and timed', async (t) => {
  const cluster = await startCluster({ certificate: await makeCertificate('pve1') });
  t.teardown(() => cluster.close());
  await writeFile(cluster.state.volumes.target('local', 'vztmpl', 'a.tar.gz'), 'archive');
  const { registry, proxmox } = new Metrics();
  const [node] = cluster.nodes;
  const client = await connectProxmox({
    hosts: [new URL(node!.url).host],
    trust: { fingerprints: [node!.fingerprint] },
    credentials: {
      kind: 'token',
      secret: new Secret(cluster.token('root@pam', 'k8s').replace('PVEAPIToken=', '')),
    },
    observer: proxmox,
  });
  t.teardown(() => client.close());
  const { guests, tasks } = client;
  const guest = { kind: 'lxc', node: 'pve1', vmid: 101 } as const;
  const quick = { firstMs: 1, longestMs: 10 };
  await tasks.follow(await guests.create(guest, { ostemplate: 'local:vztmpl/a.tar.gz', rootfs: 'local:0' }), quick);
  cluster.state.faults.add({
    effect: { kind: 'task-fail', when: 'before', message: 'no space' },
    match: { type: 'vzstart' },
  });
  await guests.start(guest).then((upid) => t.throwsAsync(tasks.follow(upid, quick)));
  await t.throwsAsync(guests.config({ ...guest, vmid: 999 }));
  const page = await registry.metrics();
  const call = 'proxmox_lxcri_proxmox_api_call';
  for (const line of [
    `${call}s_total{endpoint="POST /nodes/{node}/lxc",outcome="ok"} 1`,
    `${call}s_total{endpoint="GET /nodes/{node}/lxc/{vmid}/config",outcome="notFound"} 1`,
    `${call}_duration_seconds_count{endpoint="POST /nodes/{node}/lxc"} 1`,
    'proxmox_lxcri_proxmox_tasks_total{type="vzcreate",outcome="ok"} 1',
    'proxmox_lxcri_proxmox_tasks_total{type="vzstart",outcome="failed"} 1',
    'proxmox_lxcri_proxmox_task_duration_seconds_count{type="vzcreate"} 1',
  ])
    t.true(page.includes(line), `${line}\n${page.match(/^proxmox_lxcri_proxmox_.*_(total|count)\{.*$/gm)?.join('\n')}`);
});
