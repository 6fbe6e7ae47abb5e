import { open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import test, { type ExecutionContext } from 'ava';
import { numberOf, ownValueOf, valueOf } from '../../../src/integrations/zfs/answers/properties.ts';
import { zfsClient } from '../../../src/integrations/zfs/client.ts';
import type { ErrorKind } from '../../../src/integrations/zfs/errors/zfs-error.ts';
import { followEvents, type ZfsEvent } from '../../../src/integrations/zfs/events.ts';
import { receive, send } from '../../../src/integrations/zfs/streams.ts';
import { directory, frailPool, makePool, run, TANK, zfs, zpool } from './pools.ts';
import { eventually } from '../../lib/eventually.ts';

const lines = zfsClient('lines');

/** Asserts that a call fails with that kind of error, which names the object. */
async function fails(t: ExecutionContext, kind: ErrorKind, object: string, work: Promise<unknown>): Promise<void> {
  const error = await t.throwsAsync(work, { name: 'ZfsError' }, `${kind} of ${object}`);
  t.like(error, { kind, object }, error?.message);
  t.true(error?.message.includes(` ${object}: `), error?.message);
}

test.serial.before(async () => {
  await zfs.createFilesystem(`${TANK}/a`, { settings: { 'proxmox-lxcri:kind': 'layer' } });
  await zfs.mount(`${TANK}/a`);
});

test.serial('both dialects read the same from real pools', async (t) => {
  const { tools, module } = await zfs.versions();
  t.deepEqual(tools, module);
  const parent = `${TANK}/values`;
  await zfs.createFilesystem(parent, { settings: { quota: '32M', 'x:plain': 'a=b, "c" -d' } });
  const create = (name: string, value: string) =>
    run('zfs', 'create', '-u', '-o', `x:value=${value}`, `${parent}/${name}`);
  for (const [index, value] of ['tab\tline\nend', 'quote \' and \\ "', '-', ' '].entries())
    await create(`${index}`, value);
  await zfs.snapshot([`${parent}/0@1`], { settings: { 'x:own': 'snapshot' } });
  const asked = ['type', 'used', 'quota', 'origin', 'x:plain', 'x:value', 'x:own'];
  const list = await zfs.list(parent, asked, { types: ['filesystem', 'snapshot'] });
  t.deepEqual(await lines.zfs.list(parent, asked, { types: ['filesystem', 'snapshot'] }), list);
  t.deepEqual(
    list.map((entry) => valueOf(entry, 'x:value')),
    [undefined, 'tab\tline\nend', 'tab\tline\nend', 'quote \' and \\ "', '-', ' '],
  );
  t.deepEqual(
    list.map((entry) => ownValueOf(entry, 'x:plain')),
    ['a=b, "c" -d', ...Array<undefined>(5)],
  );
  const own = list.slice(0, 1);
  t.deepEqual(
    own.map((entry) => [numberOf(entry, 'quota'), valueOf(entry, 'origin')]),
    [[33554432n, undefined]],
  );
  t.deepEqual((await zfs.list(parent, ['used'], { depth: 0 })).length, 1);
  // JSON ends at such a value.
  await create('far', '\u{1f600}');
  await create('near', 'ü');
  const more = await zfs.list(parent, asked);
  t.deepEqual(
    more.slice(-2).map((entry) => valueOf(entry, 'x:value')),
    ['\u{1f600}', 'ü'],
  );
  t.deepEqual(await lines.zfs.list(parent, asked), more);
  t.deepEqual(await lines.zpool.list(), await zpool.list());
  t.like(await zpool.get(TANK), { health: 'ONLINE', isSuspended: false, isReadonly: false, failmode: 'wait' });
});

test.serial('datasets are made, cloned, promoted and destroyed', async (t) => {
  const own = `${TANK}/life`;
  await zfs.createFilesystem(`${own}/base`, { parents: true });
  await zfs.createVolume(`${own}/volume`, 16n * 2n ** 20n, { sparse: true });
  await zfs.snapshot([`${own}/base@1`, `${own}/volume@1`]);
  for (const name of ['2', '3', '4']) await zfs.snapshot([`${own}/base@${name}`]);
  await zfs.destroySnapshots(`${own}/base`, ['2', '3', 'missing']);
  await zfs.destroySnapshots(`${own}/base`, ['missing']);
  await zfs.clone(`${own}/base@1`, `${own}/clone`, { settings: { mountpoint: 'legacy', 'x:a': '1' } });
  await zfs.set(`${own}/clone`, { quota: '8M', 'x:a': '2', 'x:b': 'and spaces' });
  await zfs.inherit(`${own}/clone`, 'x:b');
  await zfs.rename(`${own}/clone`, `${own}/renamed`);
  const [clone] = await zfs.get([`${own}/renamed`], ['origin', 'quota', 'x:a', 'x:b', 'mounted']);
  t.deepEqual(clone && [...clone.properties.values()].map(({ value }) => value), [
    `${own}/base@1`,
    '8388608',
    '2',
    'no',
  ]);
  await fails(t, 'inUse', `${own}/base`, zfs.destroy(`${own}/base`, { recursive: true }));
  await fails(t, 'diverged', `${own}/base@1`, zfs.rollback(`${own}/base@1`));
  await zfs.promote(`${own}/renamed`);
  await zfs.destroy(`${own}/base`, { recursive: true });
  await zfs.destroy(own, { recursive: true });
  await fails(t, 'notFound', own, zfs.get([own], ['used']));
});

test.serial('a snapshot goes to another dataset as a stream', async (t) => {
  await writeFile(join(directory.path, TANK, 'a/file'), 'content');
  await zfs.snapshot([`${TANK}/a@sent`]);
  await receive(`${TANK}/received`, await send(`${TANK}/a@sent`), { settings: { 'x:from': 'a' } });
  const [of, copy] = await zfs.get([`${TANK}/a@sent`, `${TANK}/received@sent`], ['guid']);
  t.is(copy && valueOf(copy, 'guid'), of && valueOf(of, 'guid'));
  await zfs.mount(`${TANK}/received`);
  t.is(await readFile(join(directory.path, TANK, 'received/file'), 'utf8'), 'content');

  const stop = new AbortController();
  const endless = new PassThrough();
  endless.write((await (await send(`${TANK}/a@sent`)).toArray()).flat()[0] as Buffer);
  const received = receive(`${TANK}/cancelled`, endless, { signal: stop.signal });
  stop.abort(new Error('enough'));
  await t.throwsAsync(received, { message: 'enough' });
  await fails(t, 'notFound', `${TANK}/cancelled`, zfs.get([`${TANK}/cancelled`], ['used']));
});

test.serial('a busy dataset is waited for', async (t) => {
  const file = await open(join(directory.path, TANK, 'a/open'), 'w');
  const unmounted = zfs.unmount(`${TANK}/a`);
  await fails(t, 'busy', `${TANK}/a`, unmounted);
  const again = zfs.unmount(`${TANK}/a`);
  await file.close();
  await again;
  await fails(t, 'notMounted', `${TANK}/a`, zfs.unmount(`${TANK}/a`));
  await zfs.mount(`${TANK}/a`);
  await fails(t, 'mounted', `${TANK}/a`, zfs.mount(`${TANK}/a`));
});

test.serial('a refusal names the dataset and the reason', async (t) => {
  const missing = `${TANK}/missing`;
  for (const client of [zfs, lines.zfs]) await fails(t, 'notFound', missing, client.get([missing, TANK], ['used']));
  await fails(t, 'notFound', `${missing}/child`, zfs.createFilesystem(`${missing}/child`));
  await fails(t, 'notFound', 'nowhere', zpool.get('nowhere'));
  await fails(t, 'alreadyExists', `${TANK}/a`, zfs.createFilesystem(`${TANK}/a`));
  await fails(t, 'invalid', `${TANK}/a`, zfs.set(`${TANK}/a`, { quota: 'much' }));
  await fails(t, 'unsupported', `${TANK}/a`, zfs.promote(`${TANK}/a`));
  const noise = new PassThrough();
  noise.end(Buffer.alloc(4096, 'x'));
  await fails(t, 'badStream', `${TANK}/noise`, receive(`${TANK}/noise`, noise));
});

test.serial('a quota and a full pool are told apart', async (t) => {
  await zfs.createFilesystem(`${TANK}/limited/child`, { parents: true });
  await zfs.set(`${TANK}/limited`, { quota: '8M' });
  const volume = zfs.createVolume(`${TANK}/limited/child/volume`, 64n * 2n ** 20n);
  await fails(t, 'quota', `${TANK}/limited`, volume);
  await fails(t, 'full', `${TANK}/volume`, zfs.createVolume(`${TANK}/volume`, 2n ** 40n));
  const filled = run('dd', 'if=/dev/urandom', `of=${join(directory.path, TANK, 'limited/fill')}`, 'bs=1M', 'count=9');
  await t.throwsAsync(filled, { message: /Disk quota exceeded/ });
  await fails(t, 'quota', `${TANK}/limited`, zfs.set(`${TANK}/limited`, { quota: '1M' }));
});

test.serial('an encrypted dataset needs its key', async (t) => {
  const key = join(directory.path, 'key');
  await writeFile(key, Buffer.alloc(32, 7));
  const secret = `${TANK}/secret`;
  const settings = { encryption: 'on', keyformat: 'raw', keylocation: `file://${key}` };
  await zfs.createFilesystem(secret, { settings });
  await zfs.snapshot([`${secret}@1`]);
  await run('zfs', 'unload-key', secret);
  await fails(t, 'keyNotLoaded', `${secret}/child`, zfs.createFilesystem(`${secret}/child`));
  await fails(t, 'keyNotLoaded', secret, zfs.mount(secret));
  await zfs.destroy(secret, { recursive: true });
});

test.serial('a pool that is imported read-only', async (t) => {
  await makePool('still', '64M');
  await zfs.createFilesystem('still/a');
  await run('zpool', 'export', 'still');
  await fails(t, 'notImported', 'still/a', zfs.get(['still/a'], ['used']));
  await fails(t, 'notImported', 'still/b', zfs.createFilesystem('still/b'));
  await run(
    'zpool',
    'import',
    '-o',
    'readonly=on',
    '-o',
    'cachefile=none',
    '-d',
    join(directory.path, 'still.disk'),
    'still',
  );
  t.like(await zpool.get('still'), { isReadonly: true, health: 'ONLINE' });
  await fails(t, 'readOnly', 'still/b', zfs.createFilesystem('still/b'));
  await fails(t, 'readOnly', 'still/a', zfs.set('still/a', { 'x:a': '1' }));
  await fails(t, 'readOnly', 'still/a', zfs.destroy('still/a'));
});

test.serial('a suspended pool refuses, and serves when it is cleared', async (t) => {
  const events: ZfsEvent[] = [];
  const stop = new AbortController();
  const followed = (async () => {
    for await (const event of followEvents('frail', stop.signal)) events.push(event);
  })();
  t.teardown(() => {
    stop.abort();
  });
  const frail = await frailPool(t, 'frail');
  await zfs.createFilesystem('frail/a');
  await frail.fail();
  await eventually('the event', () => events.find((event) => event.class === 'ereport.fs.zfs.io_failure'));
  t.true(events.every(({ pool }) => pool === 'frail'));
  t.is((await zpool.get(TANK)).isSuspended, false);
  await fails(t, 'suspended', 'frail/b', zfs.createFilesystem('frail/b'));
  await fails(t, 'suspended', 'frail/a', zfs.get(['frail/a'], ['used']));
  await fails(t, 'suspended', 'frail/a', zfs.set('frail/a', { 'x:a': '1' }));

  await frail.repair();
  await zfs.createFilesystem('frail/b');
  await run('zpool', 'destroy', 'frail');
  await eventually('the end', () => events.find((event) => event.class === 'sysevent.fs.zfs.pool_destroy'));
  stop.abort(new Error('enough'));
  await t.throwsAsync(followed, { message: 'enough' });
});
