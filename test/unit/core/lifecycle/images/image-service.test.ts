import test, { type ExecutionContext } from 'ava';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';
import { ImageService, type ImageServiceOptions } from '../../../../../src/core/lifecycle/images/image-service.ts';
import { chainIds } from '../../../../../src/core/lifecycle/images/image-config.ts';
import { RootfsStores } from '../../../../../src/core/lifecycle/rootfs-stores.ts';
import { formatReference, parseReference } from '../../../../../src/core/lifecycle/images/reference.ts';
import { CriError, failedPrecondition, StatusCode } from '../../../../../src/core/model/errors.ts';
import type { ImageRegistry, ImageSource, SourceImage } from '../../../../../src/core/model/image.ts';
import type { Logger } from '../../../../../src/core/model/logger.ts';
import type { LayerApply, RootfsStore } from '../../../../../src/core/model/rootfs.ts';
import { openTar } from '../../../../../src/host/processes/decompress.ts';
import { systemClock } from '../../../../../src/utils/time/system-clock.ts';
import { eventually } from '../../../../lib/eventually.ts';
import { imageFilesBelow } from '../../../../lib/image-files.ts';
import { recordsBelow } from '../../../../lib/records-place.ts';
import { buildImage, sha256, tarOf, type BuiltImage } from '../../../integrations/oci/image-builder.ts';

const drop = () => undefined;
const silent: Logger = { debug: drop, info: drop, warn: drop, error: drop, with: () => silent };
const none = { bytes: 0n, inodes: 0n };

/** Layers in memory, verified against their digests; `used` stands for snapshots. */
class MemoryStore implements RootfsStore {
  readonly name: string;
  readonly maxLayers = 3;
  readonly enforcesLimits = false;
  readonly layers = new Map<string, string | undefined>();
  readonly used = new Set<string>();
  applied = 0;

  constructor(name = 'memory') {
    this.name = name;
  }

  hasLayer = async (chainId: string) => this.layers.has(chainId);
  listLayers = async () => [...this.layers.keys()];
  describeLayers = async () =>
    [...this.layers].map(([chainId, parent]) => ({ chainId, parent, bytes: 10n, isUsed: this.used.has(chainId) }));
  remains = async () => [];
  prepare = async () => ({ mounts: [] });
  get = async () => undefined;
  remove = async () => undefined;
  list = async () => [];
  usage = async () => undefined;
  changes = () => Promise.reject(new Error('not in memory'));
  fsUsage = async () => ({ ...none, mountpoint: '/' });
  space = async () => ({ used: 0n, free: 0n });
  recover = async () => undefined;

  async applyLayer({ parent, chainId, diffId, blob, signal }: LayerApply) {
    const data = await buffer(await openTar(typeof blob === 'string' ? blob : await blob.open()));
    signal?.throwIfAborted();
    if (sha256(data) !== diffId) throw new CriError(StatusCode.INVALID_ARGUMENT, 'diff id');
    if (parent !== undefined && !this.layers.has(parent)) throw new Error('parent is missing');
    this.applied++;
    this.layers.set(chainId, parent);
    return none;
  }

  async removeLayer(chainId: string) {
    const isParent = [...this.layers.values()].includes(chainId);
    if (isParent || this.used.has(chainId)) throw failedPrecondition('in use');
    this.layers.delete(chainId);
  }
}

/** A registry in memory: canonical names to images. */
class MemoryRegistry implements ImageRegistry {
  readonly name = 'memory';
  readonly images = new Map<string, BuiltImage>();
  fetched: string[] = [];
  /** How many images were found so far. */
  resolved = 0;
  /** Runs before a layer is returned. */
  gate: (digest: string, signal?: AbortSignal) => Promise<void> = () => Promise.resolve();

  async resolve(...[reference, , signal]: Parameters<ImageRegistry['resolve']>): Promise<SourceImage> {
    signal?.throwIfAborted();
    const image = this.images.get(formatReference(reference));
    if (!image) throw new CriError(StatusCode.NOT_FOUND, 'manifest unknown');
    this.resolved++;
    return {
      digest: image.indexDigest,
      manifestDigest: image.manifestDigest,
      manifest: image.manifest,
      configDigest: image.configDigest,
      config: image.config,
      layers: image.layers,
      names: [],
      openLayer: async ({ digest }, abort) => {
        this.fetched.push(digest);
        await this.gate(digest, abort);
        return Readable.from([image.blobs.get(digest)], { objectMode: false });
      },
      close: () => Promise.resolve(),
    };
  }

  push(name: string, image: BuiltImage): BuiltImage {
    const repository = name.slice(0, name.lastIndexOf(':'));
    this.images.set(name, image).set(`${repository}@${image.indexDigest}`, image);
    return image;
  }
}

interface Fixture {
  root: string;
  store: MemoryStore;
  registry: MemoryRegistry;
  images: ImageService;
  again: (changed?: Partial<ImageServiceOptions>) => Promise<ImageService>;
}

async function setUp(t: ExecutionContext, options: Partial<ImageServiceOptions> = {}): Promise<Fixture> {
  const root = await mkdtemp(join(tmpdir(), 'images-'));
  t.teardown(() => rm(root, { recursive: true, force: true }));
  const store = new MemoryStore();
  const registry = new MemoryRegistry();
  const again = async (changed: Partial<ImageServiceOptions> = {}) => {
    const archives = { name: 'none', open: () => Promise.reject(new Error('no archives here')) };
    const base = {
      records: recordsBelow(root),
      files: imageFilesBelow(root),
      sources: [registry, archives],
      stores: new RootfsStores({ used: [store], logger: silent }),
      mounts: {
        mount: async () => '/',
        sync: async () => undefined,
        dropCache: async () => undefined,
        capacity: async () => undefined,
        unmount: async () => undefined,
        list: async () => [],
      },
      clock: systemClock,
      logger: silent,
    };
    const images = new ImageService({ ...base, ...options, ...changed });
    await images.load();
    return images;
  };
  return { root, store, registry, images: await again(), again };
}

const layer = (name: string) => tarOf({ name, body: name });
const A = buildImage([layer('base'), layer('a')], {
  compress: gzipSync,
  config: { User: '1002', StopSignal: 'SIGINT' },
});
const B = buildImage([layer('base'), layer('b')]);
const C = buildImage([]);

test('every name of an image resolves to one record', async (t) => {
  const { images, registry } = await setUp(t);
  registry.push('r.io/app:v1', A);
  const id = await images.pull('r.io/app:v1');
  t.is(id, A.configDigest);
  const record = images.status(id);
  t.like(record, { id, repoTags: ['r.io/app:v1'], repoDigests: [`r.io/app@${A.indexDigest}`], pinned: false });
  t.is(record?.config.config.User, '1002');
  t.is(record?.config.config.StopSignal, 'SIGINT');
  t.is(record?.chainId, chainIds(A.diffIds).at(-1));
  t.true((record?.size ?? 0n) > 0n);
  const hex = id.slice(7);
  for (const name of [
    hex,
    hex.slice(0, 12),
    `sha256:${hex.slice(0, 12)}`,
    'r.io/app:v1',
    `r.io/app@${A.indexDigest}`,
    `r.io/app:any@${A.indexDigest}`,
  ]) {
    t.deepEqual(images.status(name), record, name);
  }
  for (const name of [
    'r.io/app',
    'r.io/other:v1',
    `r.io/app@${A.manifestDigest}`,
    '0'.repeat(64),
    'Not A Name',
    '',
    hex.slice(0, 12).toUpperCase(),
  ]) {
    t.is(images.status(name), undefined, name);
  }
  t.deepEqual(images.list(), [record]);
  t.deepEqual(images.list('r.io/app:v1'), [record]);
  t.deepEqual(images.list('nothing'), []);
});

test('a pull by digest records only a repository digest', async (t) => {
  const { images, registry } = await setUp(t);
  registry.push('docker.io/library/app:latest', A);
  const id = await images.pull(`app@${A.indexDigest}`);
  t.like(images.status(id), { repoTags: [], repoDigests: [`docker.io/library/app@${A.indexDigest}`] });
  await images.pull('app');
  t.like(images.status('app'), { id, repoTags: ['docker.io/library/app:latest'] });
});

test('a moved tag leaves the old image its digest', async (t) => {
  const { images, registry, again } = await setUp(t);
  registry.push('r.io/app:v1', A);
  await images.pull('r.io/app:v1');
  registry.push('r.io/app:v1', B);
  await images.pull('r.io/app:v1');
  for (const service of [images, await again()]) {
    t.is(service.status('r.io/app:v1')?.id, B.configDigest);
    t.like(service.status(A.configDigest), { repoTags: [], repoDigests: [`r.io/app@${A.indexDigest}`] });
    t.deepEqual(
      service.list().map(({ id }) => id),
      [B.configDigest, A.configDigest],
    );
  }
});

test('an ambiguous id prefix resolves to nothing', async (t) => {
  const { images, registry } = await setUp(t);
  const many = Array.from({ length: 17 }, (_, i) => buildImage([], { config: { User: String(i) } }));
  for (const [i, image] of many.entries()) await images.pull((registry.push(`r.io/app:${i}`, image), `r.io/app:${i}`));
  const digits = many.map(({ configDigest }) => configDigest[7]!);
  const shared = digits.find((digit, i) => digits.indexOf(digit) !== i)!;
  t.is(images.status(shared), undefined);
});

test('removing one name removes the image and unshared layers', async (t) => {
  const { root, images, registry, store } = await setUp(t);
  for (const name of ['r.io/app:v1', 'r.io/app:v2', 'q.io/app:v1']) await images.pull((registry.push(name, A), name));
  await images.pull((registry.push('r.io/b:v1', B), 'r.io/b:v1'));
  t.is(images.list().length, 2);
  t.is(images.status('q.io/app:v1')?.repoTags.length, 3);
  store.used.add(chainIds(A.diffIds)[1]!);
  await Promise.all(Array.from({ length: 5 }, () => images.remove(A.configDigest)));
  t.deepEqual(
    images.list().map(({ id }) => id),
    [B.configDigest],
  );
  t.is(images.status('r.io/app:v2'), undefined);
  t.is(store.layers.size, 3, 'the rootfs keeps its layer');
  store.used.clear();
  await images.collect();
  t.deepEqual([...store.layers.keys()].sort(), [...chainIds(B.diffIds)].sort());
  t.deepEqual(
    (await readdir(join(root, 'content', 'sha256'))).sort(),
    [B.configDigest, B.manifestDigest].map((digest) => digest.slice(7)).sort(),
  );
  await images.remove('r.io/app:v1');
  await images.remove('r.io/b:v1');
  t.is(store.layers.size, 0);
});

test('a removal that failed can be repeated', async (t) => {
  const { images, registry, store } = await setUp(t);
  await images.pull((registry.push('r.io/a:1', A), 'r.io/a:1'));
  const removeLayer = store.removeLayer.bind(store);
  store.removeLayer = () => Promise.reject(new Error('suspended'));
  await t.throwsAsync(images.remove('r.io/a:1'), { message: 'suspended' });
  store.removeLayer = removeLayer;
  await images.remove('r.io/a:1');
  t.is(store.layers.size, 0);
});

for (const amid of ['listLayers', 'removeLayer'] as const) {
  test(`a pull that ends amid ${amid} keeps its layers`, async (t) => {
    const { images, registry, store } = await setUp(t);
    registry.push('r.io/a:1', A);
    registry.push('r.io/b:1', B);
    await images.pull('r.io/a:1');
    const top = chainIds(A.diffIds).at(-1);
    const before = { listLayers: store.listLayers, removeLayer: store.removeLayer.bind(store) };
    let pulled = false;
    const pullOnce = async (chainId = top) => {
      if (pulled || chainId !== top) return;
      pulled = true;
      await images.pull('r.io/b:1');
    };
    if (amid === 'listLayers') store.listLayers = () => pullOnce().then(before.listLayers);
    else store.removeLayer = (chainId) => pullOnce(chainId).then(() => before.removeLayer(chainId));
    await images.remove('r.io/a:1');
    t.deepEqual(new Set(store.layers.keys()), new Set(chainIds(B.diffIds)));
  });
}

test('a planned prune frees what a prune frees', async (t) => {
  const { images, registry, store } = await setUp(t);
  for (const [name, image] of [['r.io/a:1', A] as const, ['r.io/b:1', B] as const]) {
    registry.push(name, image);
    await images.pull(name);
  }
  const [top = ''] = chainIds(B.diffIds).slice(-1);
  const plan = (...used: string[]) => images.planPrune(new Set(used));
  t.like(await plan(A.configDigest, B.configDigest), { images: [], bytes: 0n, unused: [] });
  t.like(await plan(A.configDigest), { images: { length: 1, 0: { id: B.configDigest } }, bytes: 10n });
  t.like(await plan(), { images: { length: 2 }, bytes: 30n });
  store.used.add(top);
  t.like(await plan(), { images: { length: 2 }, bytes: 10n });
  await images.remove(B.configDigest);
  const { bytes, unused } = await plan();
  t.deepEqual([bytes, unused.map(({ chainId }) => chainId)], [10n, [top]]);
  const before = store.layers.size;
  await images.prune(() => new Set());
  t.is(before - store.layers.size, 1);
});

test('concurrent pulls fetch shared layers once', async (t) => {
  const { images, registry, store } = await setUp(t);
  registry.push('r.io/a:1', A);
  registry.push('r.io/b:1', B);
  // Compressed and uncompressed, the two base layers are different blobs with one chain id.
  const same = buildImage([layer('base'), layer('c')]);
  registry.push('r.io/c:1', same);
  await Promise.all(['r.io/b:1', 'r.io/c:1', 'r.io/a:1', 'r.io/b:1', 'r.io/a:1'].map((name) => images.pull(name)));
  t.is(store.applied, 4);
  t.is(registry.fetched.filter((digest) => digest === B.layers[0]?.digest).length, 1);
  t.is(images.list().length, 3);
});

test('a cancelled pull leaves nothing and continues for others', async (t) => {
  const { root, images, registry, store } = await setUp(t);
  registry.push('r.io/a:1', B);
  registry.push('r.io/b:1', B);
  let open: () => void = drop;
  const opened = new Promise<void>((resolve) => (open = resolve));
  let asked = 0;
  let bothAsked: () => void = drop;
  const asking = new Promise<void>((resolve) => (bothAsked = resolve));
  registry.gate = () => {
    if (++asked === 2) bothAsked();
    return opened;
  };
  const abort = new AbortController();
  const leaving = images.pull('r.io/a:1', undefined, abort.signal);
  const staying = images.pull('r.io/b:1');
  await asking;
  const reason = new Error('deadline');
  abort.abort(reason);
  t.is(await t.throwsAsync(leaving), reason);
  open();
  t.is(await staying, B.configDigest);
  t.like(images.status(B.configDigest), { repoTags: ['r.io/b:1'] });
  t.is(store.applied, 2);
  t.deepEqual(await readdir(join(root, 'content', 'incoming')), []);
});

test('a stalled pull does not block slots of others', async (t) => {
  const { images, registry } = await setUp(t, { maxConcurrentDownloads: 1 });
  const slow = buildImage([layer('slow'), layer('shared')]);
  const fast = buildImage([layer('shared'), layer('fast')]);
  registry.push('r.io/slow:v1', slow);
  registry.push('r.io/fast:v1', fast);
  const begun = Promise.withResolvers<undefined>();
  registry.gate = async (digest, signal) => {
    if (digest !== slow.layers[0]?.digest) return;
    begun.resolve(undefined);
    await new Promise((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason as Error)));
  };
  const leave = new AbortController();
  const pulling = images.pull('r.io/slow:v1', undefined, leave.signal);
  await begun.promise;
  t.is(await images.pull('r.io/fast:v1'), fast.configDigest);
  t.is(registry.fetched.filter((digest) => digest === fast.layers[0]?.digest).length, 1);
  leave.abort(new Error('left'));
  await t.throwsAsync(pulling, { message: 'left' });
});

test('a filter without a tag matches the repository', async (t) => {
  const { images, registry } = await setUp(t);
  registry.push('r.io/pause:3.9', A);
  registry.push('r.io/pause:3.10', B);
  registry.push('r.io/pause-amd64:1', C);
  for (const name of ['r.io/pause:3.9', 'r.io/pause:3.10', 'r.io/pause-amd64:1']) await images.pull(name);
  const listed = (filter: string) => images.list(filter).map(({ repoTags }) => repoTags[0]);
  t.deepEqual(listed('r.io/pause').sort(), ['r.io/pause:3.10', 'r.io/pause:3.9']);
  t.deepEqual(listed('r.io/pause:3.9'), ['r.io/pause:3.9']);
  t.deepEqual(listed('r.io/pause:latest'), []);
  t.deepEqual(listed(A.configDigest), ['r.io/pause:3.9']);
  t.deepEqual(listed('r.io/other'), []);
});

test('sources are asked in order', async (t) => {
  const registry = new MemoryRegistry();
  registry.push('r.io/app:v1', A);
  const second = new MemoryRegistry();
  second.push('r.io/app:v1', B);
  second.push('r.io/second:v1', B);
  const files = new MemoryRegistry();
  files.push('r.io/file:v1', C);
  // A kind of source that the image service does not know.
  const special: ImageSource = {
    name: 'special',
    open: async (path) => {
      if (!path.endsWith('.special')) return undefined;
      return [await files.resolve(parseReference('r.io/file:v1'), undefined)];
    },
  };
  const last: ImageSource = { name: 'last', open: () => Promise.resolve(undefined) };
  const { images } = await setUp(t, { sources: [registry, special, second, last] });
  t.is(await images.pull('r.io/app:v1'), A.configDigest);
  t.is(await images.pull('r.io/second:v1'), B.configDigest);
  t.deepEqual(await images.import('/x.special', { ref: 'r.io/imported:1' }), [C.configDigest]);
  const unknown = await t.throwsAsync(images.import('/x.tar'), { instanceOf: CriError });
  t.is(unknown?.code, StatusCode.INVALID_ARGUMENT);
  const missing = await t.throwsAsync(images.pull('r.io/none:v1'), { instanceOf: CriError });
  t.is(missing?.code, StatusCode.NOT_FOUND);
});

test('a fetch without callers ends and can be repeated', async (t) => {
  const { root, images, registry } = await setUp(t);
  const image = buildImage([layer('only')]);
  registry.push('r.io/a:1', image);
  registry.push('r.io/b:1', image);
  const abort = new AbortController();
  const reason = new Error('deadline');
  registry.gate = (_, signal) =>
    new Promise((_resolve, reject) => {
      signal?.addEventListener('abort', () => {
        reject(signal.reason as Error);
      });
    });
  const names = ['r.io/a:1', 'r.io/b:1', 'r.io/a:1'];
  const pulling = Promise.allSettled(names.map((name) => images.pull(name, undefined, abort.signal)));
  // Whether or not each of them is already waiting.
  await eventually('the fetch', () => registry.fetched.length > 0);
  abort.abort(reason);
  const results = await pulling;
  for (const result of results) t.is((result as PromiseRejectedResult).reason, reason);
  t.is(registry.fetched.length, 1);
  t.deepEqual(await readdir(join(root, 'content', 'incoming')), []);
});

test("a layer is fetched again after another pull's failure", async (t) => {
  const { images, registry } = await setUp(t);
  registry.push('r.io/a:1', B);
  registry.push('r.io/b:1', B);
  let failures = 1;
  registry.gate = async () => {
    await eventually('both pulls', () => registry.resolved === 2);
    if (failures-- > 0) throw new CriError(StatusCode.UNAUTHENTICATED, 'token expired');
  };
  const results = await Promise.allSettled([images.pull('r.io/a:1'), images.pull('r.io/b:1')]);
  t.true(results.some(({ status }) => status === 'fulfilled'));
  t.is(images.list().length, 1);
});

test('a failed pull leaves nothing', async (t) => {
  const { root, images, registry, store } = await setUp(t);
  const broken = buildImage([layer('x'), layer('y')]);
  broken.blobs.set(broken.layers[1]!.digest, Buffer.from('\x1f\x8bnot gzip'));
  registry.push('r.io/x:1', broken);
  const error = await t.throwsAsync(images.pull('r.io/x:1'));
  t.is((error as CriError).code, StatusCode.INVALID_ARGUMENT);
  t.deepEqual(images.list(), []);
  await images.collect();
  t.is(store.layers.size, 0);
  t.deepEqual(await readdir(join(root, 'content', 'incoming')), []);
  const lying = buildImage([layer('x')]);
  registry.push('r.io/y:1', { ...lying, layers: [...lying.layers, ...lying.layers] });
  t.regex((await t.throwsAsync(images.pull('r.io/y:1')))?.message ?? '', /2 layers.*1/);
});

test('too many layers are refused before one is fetched', async (t) => {
  const { images, registry } = await setUp(t);
  registry.push('r.io/x:1', buildImage(['w', 'x', 'y', 'z'].map(layer)));
  await t.throwsAsync(images.pull('r.io/x:1'), {
    message: 'image.image: the image has more than the 3 layers that memory can stack',
  });
  t.deepEqual(registry.fetched, []);
});

test('an image without layers is valid', async (t) => {
  const { images, registry } = await setUp(t);
  registry.push('r.io/scratch:1', C);
  const id = await images.pull('r.io/scratch:1');
  t.is(images.status(id)?.chainId, undefined);
});

test('images are listed as pinned under any name', async (t) => {
  const { images, registry } = await setUp(t, { pinned: ['pause', 'r.io/sys*', 'r.io/exact:1'] });
  const pulled = async (name: string, image: BuiltImage) =>
    images.status(await images.pull((registry.push(name, image), name)))?.pinned;
  t.true(await pulled('docker.io/library/pause:latest', A));
  t.true(await pulled('r.io/system/x:1', B));
  t.false(await pulled('r.io/exact1:1', C));
});

test('broken records are set aside, images without layers forgotten', async (t) => {
  const { root, images, registry, store, again } = await setUp(t);
  for (const [name, image] of [
    ['r.io/a:1', A],
    ['r.io/b:1', B],
    ['r.io/c:1', C],
  ] as const)
    await images.pull((registry.push(name, image), name));
  const file = (image: BuiltImage) => join(root, 'images', `${image.configDigest.replace(':', '-')}.json`);
  await writeFile(file(C), '{"format":1,');
  await rm(join(root, 'state'), { recursive: true });
  store.layers.delete(chainIds(A.diffIds)[1]!);
  const loaded = await again();
  t.deepEqual(
    loaded.list().map(({ id }) => id),
    [B.configDigest],
  );
  t.true((await readdir(join(root, 'images'))).some((name) => name.endsWith('.corrupt')));
  t.is(await loaded.pull('r.io/a:1'), A.configDigest);
});

test('invalid requests are refused first', async (t) => {
  const { images, registry } = await setUp(t);
  await t.throwsAsync(images.pull('Not/Valid'), { instanceOf: CriError, code: StatusCode.INVALID_ARGUMENT });
  await t.throwsAsync(images.pull('r.io/none:1'), { instanceOf: CriError, code: StatusCode.NOT_FOUND });
  const reason = new Error('late');
  t.is(await t.throwsAsync(images.pull('r.io/none:1', undefined, AbortSignal.abort(reason))), reason);
  t.deepEqual(registry.fetched, []);
});

test('images are in every store in use', async (t) => {
  const [used, left] = [new MemoryStore('used'), new MemoryStore('left')];
  const first = await setUp(t);
  const { store, registry } = first;
  registry.push('r.io/app:v1', A);
  await first.images.pull('r.io/app:v1');
  left.layers.set('in use', undefined);
  left.used.add('in use');
  const stores = new RootfsStores({ used: [store, used], left: [left], logger: silent });
  const images = await first.again({ stores });
  t.is(images.status('r.io/app:v1'), undefined);
  await images.pull('r.io/app:v1');
  const chain = chainIds(A.diffIds);
  t.deepEqual([await store.listLayers(), await used.listLayers(), await left.listLayers()], [chain, chain, ['in use']]);
  t.is(used.applied, 2);
  t.deepEqual(
    (await images.fsInfo()).map((each) => each.store),
    ['memory', 'used', 'left'],
  );
  used.used.add(chain.at(-1) ?? '');
  await images.remove('r.io/app:v1');
  t.deepEqual([await store.listLayers(), await used.listLayers()], [[], chain], 'one store does not hold up the other');
});

test('an image that a store lacks is pulled again', async (t) => {
  const first = await setUp(t);
  first.registry.push('r.io/app:v1', A);
  await first.images.pull('r.io/app:v1');
  const chain = chainIds(A.diffIds);
  first.store.used.add(chain.at(-1) ?? '');
  const used = new MemoryStore('used');
  const stores = new RootfsStores({ used: [used], left: [first.store], logger: silent });
  const images = await first.again({ stores });
  t.deepEqual([images.status('r.io/app:v1'), images.list()], [undefined, []]);
  t.deepEqual(await first.store.listLayers(), chain, 'a container uses them');
  await images.pull('r.io/app:v1');
  t.deepEqual([await used.listLayers(), stores.left.length], [chain, 1]);
  first.store.used.clear();
  await images.collect();
  t.deepEqual([await used.listLayers(), await first.store.listLayers()], [chain, []], 'nothing uses them any more');
  await first.again({ stores });
  t.deepEqual(stores.left, []);
});
