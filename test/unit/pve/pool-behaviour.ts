import type { ExecutionContext } from 'ava';
import { eventually } from '../../lib/eventually.ts';
import type { SimulatedCluster } from '../../pve/cluster.ts';
import { ask, finish } from '../../pve/http/ask.ts';

const GIB = 1024 ** 3;

/** A storage `tank` of type `zfspool` that does not exist yet, and who has its pool. */
export interface PoolUnderTest {
  readonly cluster: SimulatedCluster;
  /** The dataset that volumes are below. */
  readonly pool: string;
  readonly mountpoint: string;
  /** A template of a container. */
  readonly template: string;
  /** Looks at the truth beside the API. */
  readonly look?: (state: 'created' | 'resized' | 'cloned' | 'machines' | 'gone') => Promise<void>;
  readonly setImported: (imported: boolean) => Promise<void>;
}

/** What a node answers about a storage of type `zfspool`: the same of a real pool and of a noted one. */
export async function checkPool(t: ExecutionContext, under: PoolUnderTest): Promise<void> {
  const { cluster, pool, mountpoint } = under;
  const nine = cluster.state.nine;
  const node = '/nodes/pve1';
  const get = async (path: string): Promise<unknown> => {
    const { status, reason, data } = await ask(cluster, 'GET', path);
    return status === 200 ? data : `${status} ${reason}`;
  };
  const refused = async (verb: string, path: string, body: Record<string, unknown>): Promise<string> =>
    (await ask(cluster, verb, path, { body })).reason;
  const task = (verb: string, path: string, body?: Record<string, unknown>): Promise<string> =>
    finish(cluster, verb, `${node}${path}`, body === undefined ? {} : { body });
  const ok = async (...request: Parameters<typeof task>): Promise<void> => {
    t.is(await task(...request), 'OK');
  };
  const content = async (): Promise<Record<string, unknown>[]> =>
    (await get(`${node}/storage/tank/content`)) as Record<string, unknown>[];
  const rootfs = async (vmid: number): Promise<unknown> =>
    ((await get(`${node}/lxc/${vmid}/config`)) as Record<string, unknown>)['rootfs'];
  const container = { ostemplate: under.template, unprivileged: 1, swap: 0 };

  const wanted = { storage: 'tank', type: 'zfspool' };
  t.is(await refused('POST', '/storage', wanted), "missing value for required option 'pool'");
  t.is(await refused('POST', '/storage', { ...wanted, pool, path: '/x' }), "unexpected property 'path'");
  t.is(
    await refused('POST', '/storage', { ...wanted, pool, content: 'iso' }),
    "storage does not support content type 'iso'",
  );
  t.is(
    await refused('POST', '/storage', { storage: 'files', type: 'dir', path: '/x', sparse: 1 }),
    "unexpected property 'sparse'",
  );
  t.is(
    (await ask(cluster, 'POST', '/storage', { body: { ...wanted, pool, blocksize: '3k' } })).status,
    nine ? 400 : 200,
  );
  if (!nine) await ask(cluster, 'DELETE', '/storage/tank');
  const added = await ask(cluster, 'POST', '/storage', { body: { ...wanted, pool, sparse: 1, blocksize: '16k' } });
  t.deepEqual([added.status, added.data], [200, wanted]);
  t.like(await get('/storage/tank'), { ...wanted, pool, sparse: 1, mountpoint, content: 'images,rootdir' });
  t.is(
    await refused('PUT', '/storage/tank', { pool: 'other' }),
    "update storage failed: can't change value of fixed parameter 'pool'",
  );
  const active = (await get(`${node}/storage/tank/status`)) as Record<string, number>;
  t.like(active, { type: 'zfspool', active: 1, enabled: 1, shared: 0 });
  t.is(active['total'], active['used']! + active['avail']!);

  await ok('POST', '/lxc', { ...container, vmid: 100, rootfs: 'tank:1' });
  const unlimited = { filename: 'subvol-100-disk-1', vmid: 100, size: '0', format: 'subvol' };
  t.is(
    (await ask(cluster, 'POST', `${node}/storage/tank/content`, { body: unlimited })).data,
    'tank:subvol-100-disk-1',
  );
  t.is(await rootfs(100), 'tank:subvol-100-disk-0,size=1G');
  const volume = { format: 'subvol', parent: null, vmid: 100, content: 'rootdir' };
  t.deepEqual(await content(), [
    { ...volume, volid: 'tank:subvol-100-disk-0', name: 'subvol-100-disk-0', size: GIB },
    { ...volume, volid: 'tank:subvol-100-disk-1', name: 'subvol-100-disk-1', size: 0 },
  ]);
  t.like(await get(`${node}/storage/tank/content/subvol-100-disk-0`), {
    path: `${mountpoint}/subvol-100-disk-0`,
    format: 'subvol',
    size: GIB,
  });
  await under.look?.('created');
  await ok('DELETE', '/storage/tank/content/subvol-100-disk-1');
  const missing = `500 zfs error: cannot open '${pool}/subvol-100-disk-9': dataset does not exist`;
  t.is(await get(`${node}/storage/tank/content/subvol-100-disk-9`), missing);
  const taken = { filename: 'subvol-100-disk-0', vmid: 100, size: '1M', format: 'subvol' };
  const exists = `zfs error: cannot create '${pool}/subvol-100-disk-0': dataset already exists`;
  t.is(await refused('POST', `${node}/storage/tank/content`, taken), exists);
  const strange = { ...taken, filename: 'data' };
  t.is(
    await refused('POST', `${node}/storage/tank/content`, strange),
    "illegal name 'data' - should be 'subvol-100-*'",
  );

  await ok('POST', '/lxc/100/snapshot', { snapname: 'first' });
  await ok('PUT', '/lxc/100/resize', { disk: 'rootfs', size: '+1G' });
  t.is(await rootfs(100), 'tank:subvol-100-disk-0,size=2G');
  await ok('POST', '/lxc/100/snapshot', { snapname: 'second' });
  await under.look?.('resized');
  t.is(
    await task('POST', '/lxc/100/snapshot/first/rollback'),
    "can't rollback, 'first' is not most recent snapshot on 'tank:subvol-100-disk-0'",
  );
  await ok('DELETE', '/lxc/100/snapshot/second');
  await ok('POST', '/lxc/100/snapshot/first/rollback');
  t.is(await rootfs(100), 'tank:subvol-100-disk-0,size=1G');
  t.is((await content())[0]?.['size'], nine ? GIB : 2 * GIB, 'the quota is kept since release 9');
  await ok('DELETE', '/lxc/100/snapshot/first');

  t.like(await get(`${node}/lxc/100/feature?feature=clone`), { hasFeature: 0 });
  t.is((await ask(cluster, 'POST', `${node}/lxc/100/template`)).data, null);
  await eventually('the template', async () => (await rootfs(100)) === 'tank:basevol-100-disk-0,size=1G');
  t.like(await get(`${node}/lxc/100/feature?feature=clone`), { hasFeature: 1 });
  await ok('POST', '/lxc/100/clone', { newid: 102 });
  t.is(await rootfs(102), 'tank:basevol-100-disk-0/subvol-102-disk-0,size=1G');
  const clone = (await content()).find(({ name }) => name === 'subvol-102-disk-0');
  t.like(clone, { volid: 'tank:basevol-100-disk-0/subvol-102-disk-0', parent: 'basevol-100-disk-0@__base__' });
  await under.look?.('cloned');
  t.is(await task('DELETE', '/lxc/100'), "base volume 'basevol-100-disk-0' is still in use by linked clones");
  for (const vmid of [102, 100]) await ok('DELETE', `/lxc/${vmid}`);

  await ok('POST', '/qemu', { vmid: 200, scsi0: 'tank:1' });
  t.is((await content())[0]?.['format'], 'raw');
  await ok('POST', '/qemu/200/template');
  await ok('POST', '/qemu/200/clone', { newid: 201 });
  const { scsi0 } = (await get(`${node}/qemu/201/config`)) as Record<string, unknown>;
  t.is(scsi0, 'tank:base-200-disk-0/vm-201-disk-0,size=1G');
  await ok('PUT', '/qemu/201/resize', { disk: 'scsi0', size: '+1G' });
  const device = `/dev/zvol/${pool}/vm-201-disk-0`;
  t.like(await get(`${node}/storage/tank/content/base-200-disk-0%2Fvm-201-disk-0`), { path: device, size: 2 * GIB });
  await under.look?.('machines');
  t.is(await task('DELETE', '/qemu/200'), "base volume 'tank:base-200-disk-0' is still in use by linked cloned");
  for (const vmid of [201, 200]) await ok('DELETE', `/qemu/${vmid}`);

  t.is((await ask(cluster, 'PUT', '/storage/tank', { body: { sparse: 0 } })).status, 200);
  const full = `unable to create VM 202 - zfs error: cannot create '${pool}/vm-202-disk-0': out of space`;
  t.is(await task('POST', '/qemu', { vmid: 202, scsi0: 'tank:4000' }), full);
  t.is(cluster.state.guests.find(202), undefined);
  t.deepEqual(await content(), []);
  await under.look?.('gone');

  await under.setImported(false);
  t.like(await get(`${node}/storage/tank/status`), { active: 0, enabled: 1, total: 0, used: 0, avail: 0 });
  const resources = (await get('/cluster/resources?type=storage')) as Record<string, unknown>[];
  t.like(
    resources.find(({ id }) => id === 'storage/pve1/tank'),
    { status: 'unknown', plugintype: 'zfspool' },
  );
  t.regex(String(await get(`${node}/storage/tank/content`)), /^500 could not activate storage 'tank', zfs error: /);
  const inactive = await task('POST', '/lxc', { ...container, vmid: 103, rootfs: 'tank:1' });
  t.regex(inactive, /^unable to create CT 103 - could not activate storage 'tank', zfs error: cannot import /);
  t.is(cluster.state.guests.find(103), undefined);
  await under.setImported(true);
  t.like(await get(`${node}/storage/tank/status`), { active: 1 });
  t.is((await ask(cluster, 'PUT', '/storage/tank', { body: { nodes: 'pve2' } })).status, 200);
  t.is(await get(`${node}/storage/tank/content`), "500 storage 'tank' is not available on node 'pve1'");
  t.like(await get(`${node}/storage/tank/status`), { active: 0, enabled: 0 });
  t.is((await ask(cluster, 'DELETE', '/storage/tank')).status, 200);
}
