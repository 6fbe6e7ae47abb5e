import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { StatusCode } from '../../../src/core/model/errors.ts';
import type { RootfsChanges } from '../../../src/core/model/rootfs-changes.ts';
import { applyAll } from '../../integration/images-fixture.ts';
import { mountPointsBelow } from '../../lib/mounts.ts';
import { tarOf } from '../../unit/integrations/oci/image-builder.ts';
import { zfs } from './pools.ts';
import { newStore } from './store-fixture.ts';

/** `A path` of each change. */
async function linesOf(changes: RootfsChanges): Promise<string[]> {
  const lines: string[] = [];
  for await (const batch of changes.list()) {
    lines.push(...batch.map(({ kind, path }) => `${kind.charAt(0)} ${path.toString('latin1')}`));
  }
  return lines;
}

test.serial('changes are those at one moment', async (t) => {
  const { store, dataset, root, mount, remove } = await newStore(t, 'changes');
  const tar = tarOf({ name: 'etc/kept', body: 'x' }, { name: 'etc/gone/file' }, { name: 'etc/file', body: '1' });
  const [chainId] = await applyAll(store, [tar]);
  const path = await mount('c1', chainId);
  t.deepEqual(await linesOf(await store.changes('c1')), []);
  await rm(join(path, 'etc/gone'), { recursive: true });
  await writeFile(join(path, 'etc/file'), '2');
  await writeFile(Buffer.concat([Buffer.from(`${path}/`), Buffer.from([0xff])]), '');
  const changes = await store.changes('c1');
  await writeFile(join(path, 'later'), '');
  t.deepEqual(await linesOf(changes), ['m etc', 'm etc/file', 'd etc/gone', 'a \xff']);
  // Its removal waits for nothing.
  await remove('c1');
  t.deepEqual(await store.list(), []);
  await changes.close();
  await t.throwsAsync(store.changes('c1'), { code: StatusCode.NOT_FOUND });

  await store.prepare('c2', undefined);
  const left = await store.changes('c2');
  t.deepEqual(await linesOf(left), []);
  // As after a SIGKILL.
  await store.recover();
  t.deepEqual(
    (await zfs.list(`${dataset}/rootfs`, ['type'], { types: ['filesystem', 'snapshot'] })).map(({ name }) => name),
    [`${dataset}/rootfs`, `${dataset}/rootfs/c2`],
  );
  t.deepEqual(await mountPointsBelow(join(root, 'zfs/work')), []);
});
