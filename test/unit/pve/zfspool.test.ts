import { writeFile } from 'node:fs/promises';
import test from 'ava';
import { startCluster } from '../../pve/cluster.ts';
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
