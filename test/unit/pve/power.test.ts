import { writeFile } from 'node:fs/promises';
import test from 'ava';
import { startCluster } from '../../pve/cluster.ts';
import { ask, finish } from '../../pve/http/ask.ts';

const template = 'local:vztmpl/a.tar.gz';

for (const [type, settings, again] of [
  ['lxc', { ostemplate: template, rootfs: 'local:1' }, [500, 'CT 100 already running', undefined]],
  ['qemu', { scsi0: 'local:1' }, [200, 'OK', 'VM 100 already running']],
] as const)
  test(`what a start of ${type} refuses before its task`, async (t) => {
    await using cluster = await startCluster();
    const { state } = cluster;
    await writeFile(state.volumes.target('local', 'vztmpl', 'a.tar.gz'), 'archive');
    const path = `/nodes/pve1/${type}`;
    t.is(await finish(cluster, 'POST', path, { body: { vmid: 100, ...settings } }), 'OK');
    state.faults.add({ effect: { kind: 'no-quorum' } });
    const refused = await ask(cluster, 'POST', `${path}/100/status/start`);
    t.deepEqual([refused.status, refused.reason], [500, 'cluster not ready - no quorum?']);
    t.is(await finish(cluster, 'POST', `${path}/100/status/start`), 'OK');
    const { status, reason, data } = await ask(cluster, 'POST', `${path}/100/status/start`);
    await state.tasks.ended(String(data)).catch(() => undefined);
    t.deepEqual([status, reason, state.tasks.get(String(data))?.exit], [...again]);
  });

test('a machine that does not run is stopped despite its lock', async (t) => {
  await using cluster = await startCluster();
  const path = '/nodes/pve1/qemu';
  t.is(await finish(cluster, 'POST', path, { body: { vmid: 100, scsi0: 'local:1', lock: 'backup' } }), 'OK');
  t.is(await finish(cluster, 'POST', `${path}/100/status/start`), 'VM is locked (backup)');
  for (const action of ['stop', 'shutdown'])
    t.is(await finish(cluster, 'POST', `${path}/100/status/${action}`), 'OK', action);
});

test('a mounted container is stopped, and not shut down', async (t) => {
  await using cluster = await startCluster();
  await writeFile(cluster.state.volumes.target('local', 'vztmpl', 'a.tar.gz'), 'archive');
  const path = '/nodes/pve1/lxc';
  const body = { vmid: 100, ostemplate: template, rootfs: 'local:1' };
  t.is(await finish(cluster, 'POST', path, { body }), 'OK');
  t.is((await ask(cluster, 'PUT', `${path}/100/config`, { body: { lock: 'mounted' } })).status, 200);
  t.is(await finish(cluster, 'POST', `${path}/100/status/start`), 'OK');
  t.is(await finish(cluster, 'POST', `${path}/100/status/shutdown`), 'CT is locked (mounted)');
  t.is(await finish(cluster, 'POST', `${path}/100/status/stop`), 'OK');
});
