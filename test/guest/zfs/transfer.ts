import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import test, { type ExecutionContext } from 'ava';
import { StatusCode } from '../../../src/core/model/errors.ts';
import { chainIds } from '../../../src/core/lifecycle/images/image-config.ts';
import type { RootfsChanges } from '../../../src/core/model/rootfs-changes.ts';
import { applyAll } from '../../integration/images-fixture.ts';
import { mountPointsBelow } from '../../lib/mounts.ts';
import type { ZfsStore } from '../../../src/integrations/zfs/store/zfs-store.ts';
import { sha256, tarOf } from '../../unit/integrations/oci/image-builder.ts';
import { longTest, makePool, run, zfs } from './pools.ts';
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

const DOCUMENTS = { config: Buffer.from('{"a":1}'), manifest: Buffer.from('{}'), names: ['localhost/x:1'] };
const TARS = ['one', 'two'].map((name) => tarOf({ name, body: name }));
const DIFF_IDS = TARS.map(sha256);

async function receiveAll({ transfers }: ZfsStore, stream: Buffer): Promise<string | undefined> {
  async function* pieces() {
    // Pieces of all sizes, and pauses between them.
    for (let at = 0, size = 1; at < stream.length; at += size, size = size * 3 + 1) {
      yield stream.subarray(at, at + size);
      await Promise.resolve();
    }
  }
  const incoming = await transfers!.open(pieces());
  return incoming.receive((diffId) => chainIds([...incoming.layers.map((layer) => layer.diffId), diffId]).at(-1) ?? '');
}

/** A store with an image, the chain and the stream of that, and another pool. */
async function sender(t: ExecutionContext, name: string) {
  await makePool('other', '256M');
  t.teardown(() => run('zpool', 'destroy', '-f', 'other'));
  const here = await newStore(t, name);
  await run('zfs', 'set', `mountpoint=/evil-${name}`, 'quota=100M', 'compression=gzip', `${here.dataset}/layers`);
  const chain = await applyAll(here.store, TARS);
  const stream = await buffer(here.store.transfers!.send(DOCUMENTS, chain[1], undefined));
  return { here, chain, stream };
}

test.serial('images and root filesystems move to another pool', async (t) => {
  const { here, chain, stream } = await sender(t, 'sender');
  const there = await newStore(t, 'receiver', {}, 'other');
  t.is(await receiveAll(there.store, stream), undefined);
  t.deepEqual((await there.store.listLayers()).sort(), [...chain].sort());
  t.is(await readFile(join(await there.mount('c1', chain[1]), 'two'), 'utf8'), 'two');
  const layer = `${there.dataset}/layers/${(chain[1] ?? '').slice(7)}`;
  t.is(await run('zfs', 'get', '-Hpo', 'value', 'mountpoint,quota,compression', layer), 'legacy\n0\non\n');
  // Again: every layer is skipped.
  await receiveAll(there.store, stream);

  const path = await here.mount('c2', chain[1]);
  await writeFile(join(path, 'written'), 'by the container');
  await here.store.snapshots!.create('c2', 'named', 'snapshot', 60_000);
  await rm(join(path, 'one'));
  for (const [snapshot, hasOne] of [
    ['named', true],
    [undefined, false],
  ] as const) {
    const sent = await buffer(here.store.transfers!.send(DOCUMENTS, chain[1], { id: 'c2', snapshot }));
    const diffId = await receiveAll(there.store, sent);
    const top = chainIds([...DIFF_IDS, diffId ?? '']).at(-1);
    const root = await there.mount(`view-${String(hasOne)}`, top, { readonly: true });
    t.is(await readFile(join(root, 'written'), 'utf8'), 'by the container');
    t.is(await readFile(join(root, 'one'), 'utf8').catch(() => ''), hasOne ? 'one' : '');
    await there.remove(`view-${String(hasOne)}`);
    await there.store.removeLayer(top ?? '');
  }
  await t.throwsAsync(buffer(here.store.transfers!.send(DOCUMENTS, chain[1], { id: 'c2', snapshot: 'none' })), {
    code: StatusCode.NOT_FOUND,
  });
  t.deepEqual(await here.store.snapshots!.list('c2').then((all) => all.map(({ name }) => name)), ['named']);
});

longTest('an image that is there in part, or whose stream is damaged', async (t) => {
  const { chain, stream } = await sender(t, 'sender-of-parts');
  // Layers that were unpacked there have other guids: their copies are received for those above, and go with them.
  const pulled = await newStore(t, 'pulled', {}, 'other');
  await applyAll(pulled.store, TARS.slice(0, 1));
  await receiveAll(pulled.store, stream);
  t.deepEqual((await pulled.store.listLayers()).sort(), [...chain].sort());
  const datasets = async () => (await layersIn(pulled.dataset)).length;
  t.is(await datasets(), 3);
  await pulled.make().recover();
  t.is(await datasets(), 3);
  t.deepEqual(
    await buffer(pulled.store.transfers!.send(DOCUMENTS, chain[1], undefined)).then((sent) => sent.length > 1000),
    true,
  );
  await pulled.store.removeLayer(chain[1] ?? '');
  t.is(await datasets(), 1);

  // What is damaged, or ends early, leaves nothing.
  const empty = await newStore(t, 'empty', {}, 'other');
  for (const bad of [stream.subarray(0, stream.length / 2), flipped(stream)]) {
    await t.throwsAsync(receiveAll(empty.store, bad), { code: StatusCode.DATA_LOSS });
    for (const id of (await empty.store.listLayers()).reverse()) await empty.store.removeLayer(id);
    t.deepEqual(await layersIn(empty.dataset), []);
  }
});

/** Datasets of layers, complete or not, and of copies. */
async function layersIn(dataset: string): Promise<string[]> {
  const names = (await zfs.list(`${dataset}/layers`, ['type'], { depth: 1 })).map(({ name }) => name);
  return names.filter((name) => !/layers(\/base)?$/.test(name));
}

/** With another last byte of the last stream. */
function flipped(stream: Buffer): Buffer {
  const copy = Buffer.from(stream);
  const at = copy.length - 40;
  copy[at] = (copy[at] ?? 0) ^ 1;
  return copy;
}
