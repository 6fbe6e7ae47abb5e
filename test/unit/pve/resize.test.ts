import { writeFile } from 'node:fs/promises';
import test from 'ava';
import { startCluster } from '../../pve/cluster.ts';
import { ask, finish } from '../../pve/http/ask.ts';

test('a container is looked at before the task', async (t) => {
  await using cluster = await startCluster();
  await writeFile(cluster.state.volumes.target('local', 'vztmpl', 'a.tar.gz'), 'archive');
  const path = '/nodes/pve1/lxc';
  const make = (vmid: number, rootfs: string) =>
    finish(cluster, 'POST', path, { body: { vmid, ostemplate: 'local:vztmpl/a.tar.gz', rootfs } });
  t.is(await make(100, 'local:1'), 'OK');
  const resize = { path: `${path}/100/resize`, body: (size: string) => ({ body: { disk: 'rootfs', size } }) };
  t.is((await ask(cluster, 'PUT', resize.path, resize.body('1G'))).reason, 'disk is already at specified size');
  t.is((await ask(cluster, 'PUT', resize.path, resize.body('512M'))).reason, 'unable to shrink disk size');
  t.is(await make(101, 'local:0'), 'OK');
  t.is(
    await finish(cluster, 'PUT', `${path}/101/resize`, resize.body('1G')),
    "can't resize this image format",
    'a directory is found out by the task',
  );
});

test('a machine is looked at by the task alone', async (t) => {
  await using cluster = await startCluster();
  const path = '/nodes/pve1/qemu';
  t.is(await finish(cluster, 'POST', path, { body: { vmid: 100, scsi0: 'local:1' } }), 'OK');
  const resize = (disk: string, size: string) => finish(cluster, 'PUT', `${path}/100/resize`, { body: { disk, size } });
  t.is(await resize('scsi0', '1G'), 'OK', 'nothing to do');
  t.is(await resize('scsi0', '512M'), 'shrinking disks is not supported');
  t.is(await resize('scsi1', '1G'), "disk 'scsi1' does not exist");
});
