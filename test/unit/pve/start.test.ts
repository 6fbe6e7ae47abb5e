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
