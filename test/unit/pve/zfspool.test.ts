import { writeFile } from 'node:fs/promises';
import test from 'ava';
import { startCluster } from '../../pve/cluster.ts';
import { fault } from '../../pve/http/api-error.ts';
import { ask, finish } from '../../pve/http/ask.ts';
import { freshStore, type PoolConfig } from '../../pve/state/store.ts';
import { NotedDatasets } from '../../pve/storage/zfspool/noted.ts';
import { ZfsPoolStorage } from '../../pve/storage/zfspool/pool.ts';
import { checkPool } from './pool-behaviour.ts';

for (const release of ['8.4', '9.2'] as const) {
  test(`${release} answers of a pool that is a note`, async (t) => {
    const cluster = await startCluster({ release });
    t.teardown(() => cluster.close());
    const { state } = cluster;
    await writeFile(state.volumes.target('local', 'vztmpl', 'a.tar.gz'), 'archive');
    await checkPool(t, {
      cluster,
      pool: 'rpool/data',
      mountpoint: '/rpool/data',
      template: 'local:vztmpl/a.tar.gz',
      setImported: async (imported) => {
        state.store.missingPools = imported ? [] : ['rpool'];
      },
    });
  });
}

const config: PoolConfig = { type: 'zfspool', pool: 'tank', content: ['images', 'rootdir'], options: {} };

test('a snapshot that fails leaves none', async (t) => {
  const cluster = await startCluster({ storages: { tank: config } });
  t.teardown(() => cluster.close());
  const { state } = cluster;
  await writeFile(state.volumes.target('local', 'vztmpl', 'a.tar.gz'), 'archive');
  const body = { vmid: 100, ostemplate: 'local:vztmpl/a.tar.gz', rootfs: 'tank:1', mp0: 'tank:1,mp=/data' };
  t.is(await finish(cluster, 'POST', '/nodes/pve1/lxc', { body }), 'OK');
  await state.volumes.snapshot('tank:subvol-100-disk-1', 'one');
  const snapshot = () => finish(cluster, 'POST', '/nodes/pve1/lxc/100/snapshot', { body: { snapname: 'one' } });
  t.regex(await snapshot(), /cannot create snapshot 'tank\/subvol-100-disk-1@one': dataset already exists/);
  t.deepEqual(state.store.datasets?.['tank/subvol-100-disk-0']?.snapshots, {});
  const { data } = await ask(cluster, 'GET', '/nodes/pve1/lxc/100/snapshot');
  t.deepEqual(
    (data as { name: string }[]).map(({ name }) => name),
    ['current'],
  );
});

test('rollback keeps a newer disk as unused', async (t) => {
  const cluster = await startCluster({ storages: { tank: config } });
  t.teardown(() => cluster.close());
  await writeFile(cluster.state.volumes.target('local', 'vztmpl', 'a.tar.gz'), 'archive');
  const path = '/nodes/pve1/lxc';
  const body = { vmid: 100, ostemplate: 'local:vztmpl/a.tar.gz', rootfs: 'tank:1' };
  t.is(await finish(cluster, 'POST', path, { body }), 'OK');
  t.is(await finish(cluster, 'POST', `${path}/100/snapshot`, { body: { snapname: 'one' } }), 'OK');
  await ask(cluster, 'PUT', `${path}/100/config`, { body: { mp0: 'tank:1,mp=/data' } });
  t.is(await finish(cluster, 'POST', `${path}/100/snapshot/one/rollback`), 'OK');
  const { data } = await ask(cluster, 'GET', `${path}/100/config`);
  t.like(data, { mp0: undefined, unused0: 'tank:subvol-100-disk-1' });
});

test('a clone without room leaves nothing', async (t) => {
  const cluster = await startCluster({ storages: { tank: config } });
  t.teardown(() => cluster.close());
  const { state } = cluster;
  t.is(await finish(cluster, 'POST', '/nodes/pve1/qemu', { body: { vmid: 200, scsi0: 'tank:60' } }), 'OK');
  const full = "clone failed: zfs error: cannot create 'tank/vm-201-disk-0': out of space";
  t.is(await finish(cluster, 'POST', '/nodes/pve1/qemu/200/clone', { body: { newid: 201 } }), full);
  t.is(state.guests.find(201), undefined);
  t.deepEqual(Object.keys(state.store.datasets ?? {}), ['tank/vm-200-disk-0']);
});

test('a busy dataset is tried again', async (t) => {
  const datasets = new NotedDatasets(freshStore(), () => undefined);
  const storage = new ZfsPoolStorage('tank', config, { datasets, keepsQuota: true });
  const name = await storage.allocate({ vmid: 100, format: 'subvol', size: 0 });
  const destroy = datasets.destroy.bind(datasets);
  let tries = 0;
  datasets.destroy = async (dataset) => {
    tries += 1;
    if (tries === 1) throw fault("zfs error: cannot unmount '/tank/subvol-100-disk-0': pool or dataset is busy");
    await destroy(dataset);
  };
  await storage.free(name);
  t.is(tries, 2);
  t.deepEqual(await storage.images(), []);
});
