import anyTest, { type ExecutionContext } from 'ava';
import { spawn } from 'node:child_process';
import { readdir, readFile, stat } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { ImageService } from '../../src/core/lifecycle/images/image-service.ts';
import { CriError, StatusCode } from '../../src/core/model/errors.ts';
import type { RegistryClientOptions } from '../../src/integrations/oci/registry-client.ts';
import type { OverlayStore } from '../../src/integrations/overlayfs/overlay-store.ts';
import { run } from '../../src/host/processes/run.ts';
import { eventually } from '../lib/eventually.ts';
import { buildImage, sha256, tarOf } from '../unit/integrations/oci/image-builder.ts';
import { type ScriptedServer, serve } from '../unit/integrations/oci/scripted-server.ts';
import { isSandboxed, newService, newStore, temporary, withBlob } from './images-fixture.ts';

const test = isSandboxed ? anyTest.serial : anyTest.serial.skip;

const image = buildImage(
  ['one', 'two'].map((name) => tarOf({ name, body: name.repeat(100_000) })),
  { compress: (tar) => gzipSync(tar, { level: 0 }), mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip' },
);
const top = image.layers[1]!;
const blob = image.blobs.get(top.digest)!;

type Answer = (request: IncomingMessage, response: ServerResponse) => boolean;

interface Setting {
  server: ScriptedServer;
  images: ImageService;
  store: OverlayStore;
  root: string;
}

async function setUp(t: ExecutionContext, options: Partial<RegistryClientOptions> = {}): Promise<Setting> {
  const root = join(await temporary(t), 'data');
  const server = await serve(t, image);
  return { server, root, ...(await newService(t, root, { retryMs: 1, ...options })) };
}

/** Answers requests whose path has this suffix; all others are served normally. */
const at =
  (end: string, answer: (response: ServerResponse, request: IncomingMessage) => void): Answer =>
  (request, response) => {
    if (!request.url?.endsWith(end)) return false;
    answer(response, request);
    return true;
  };

/** The pull fails with this error, and the store is unchanged afterwards. */
async function fails(t: ExecutionContext, setting: Setting, code: StatusCode, message: RegExp, what?: string) {
  const { images, store, root, server } = setting;
  const error = await t.throwsAsync(images.pull(`${server.host}/some/app:v1`), { instanceOf: CriError }, what);
  t.is(error?.code, code, `${what ?? ''} ${error?.message ?? ''}`);
  t.regex(error?.message ?? '', message, what);
  t.deepEqual(images.list(), []);
  t.deepEqual(await store.listLayers(), [], what);
  for (const directory of [
    'content/incoming',
    'content/sha256',
    'overlay/tmp',
    'overlay/layers',
    'overlay/l',
    'images',
  ]) {
    t.deepEqual(await readdir(join(root, directory)).catch(() => []), [], `${what ?? ''}: ${directory}`);
  }
}

/** The same pull succeeds once the registry behaves. */
async function recovers(t: ExecutionContext, { images, server }: Setting) {
  server.intercept = undefined;
  t.is(await images.pull(`${server.host}/some/app:v1`), image.configDigest);
}

for (const [what, end] of [
  ['manifest', '/v1'],
  ['blob', top.digest],
] as const) {
  for (const [status, code, message] of [
    [401, StatusCode.UNAUTHENTICATED, /returned 401/],
    [403, StatusCode.PERMISSION_DENIED, /returned 403/],
    [404, StatusCode.NOT_FOUND, /returned 404/],
    [429, StatusCode.RESOURCE_EXHAUSTED, /returned 429/],
    [500, StatusCode.UNKNOWN, /^RegistryUnavailable: .*returned 500/],
    [503, StatusCode.UNKNOWN, /^RegistryUnavailable: .*returned 503/],
  ] as const) {
    test(`A ${what} answered ${status} fails without leftovers`, async (t) => {
      const setting = await setUp(t);
      setting.server.intercept = at(end, (response) => response.writeHead(status).end('{"errors":[{"code":"NO"}]}'));
      await fails(t, setting, code, message);
      await recovers(t, setting);
    });
  }
}

test('A dropped transfer is resumed until the retries end', async (t) => {
  const setting = await setUp(t);
  const { server, images, store } = setting;
  for (let place = 0; place < 10; place++) {
    let dropped = false;
    server.intercept = at(top.digest, (response, request) => {
      const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
      if (from > 0) response.setHeader('content-range', `bytes ${from}-${blob.length - 1}/${blob.length}`);
      response.writeHead(from > 0 ? 206 : 200, { 'content-length': blob.length - from });
      if (dropped) {
        response.end(blob.subarray(from));
        return;
      }
      dropped = true;
      response.write(blob.subarray(0, Math.floor((blob.length * place) / 10)), () => response.destroy());
    });
    t.is(await images.pull(`${server.host}/some/app:v1`), image.configDigest, `place ${place}`);
    t.true(dropped);
    await images.remove(image.configDigest);
    t.deepEqual(await store.listLayers(), []);
  }
  for (const end of ['/v1', image.configDigest, top.digest]) {
    server.intercept = at(end, (response) => {
      response.writeHead(200, { 'content-length': 1000 });
      response.write('x', () => response.destroy());
    });
    await fails(t, setting, StatusCode.UNKNOWN, /^RegistryUnavailable: /, end);
  }
  await recovers(t, setting);
});

test('A silent or slow registry times out', async (t) => {
  const silentAnswer = () => undefined;
  const drip = (response: ServerResponse) => {
    response.writeHead(200, { 'content-length': blob.length });
    let sent = 0;
    const timer = setInterval(() => response.write(blob.subarray(sent, ++sent)), 20);
    response.on('close', () => clearInterval(timer));
  };
  const attempt = async (end: string, answer: (response: ServerResponse) => void, words: RegExp) => {
    const setting = await setUp(t, { stallMs: 2000 });
    setting.server.intercept = at(end, answer);
    await fails(t, setting, StatusCode.UNKNOWN, words, `${answer.name} ${end}`);
    // With the default timeouts: this process itself may stall for a second or two.
    await recovers(t, { ...setting, ...(await newService(t, setting.root)) });
  };
  await Promise.all(
    ['/v1', image.configDigest, top.digest].flatMap((end) => [
      attempt(end, silentAnswer, /^RegistryUnavailable: .*Timeout/i),
      attempt(end, drip, /^RegistryUnavailable: .*only \d+ bytes received/),
    ]),
  );
});

test('A transfer below the minimum rate fails', async (t) => {
  const setting = await setUp(t, { stallMs: 1000, minBytesPerSecond: 1_000_000 });
  setting.server.intercept = at(top.digest, (response) => {
    response.writeHead(200, { 'content-length': blob.length });
    let sent = 0;
    const timer = setInterval(() => response.write(blob.subarray(sent, (sent += 1000))), 10);
    response.on('close', () => clearInterval(timer));
  });
  const where = `${setting.server.host}/some/app: layer ${top.digest}`;
  const words = String.raw`stalled: only \d+ bytes .*less than images\.min_bytes_per_second \(1000000\); use a mirror`;
  await fails(t, setting, StatusCode.UNKNOWN, new RegExp(`^RegistryUnavailable: ${where}: ${words}`));
  await recovers(t, { ...setting, ...(await newService(t, setting.root)) });
});

test('Endless early hints and redirect bodies time out', async (t) => {
  const hints = (response: ServerResponse) => {
    const timer = setInterval(() => response.writeEarlyHints({ link: '</a>; rel=preload' }), 100);
    response.on('close', () => clearInterval(timer));
  };
  const redirect = (response: ServerResponse, request: IncomingMessage) => {
    response.writeHead(307, { location: request.url });
    const timer = setInterval(() => response.write('x'), 100);
    response.on('close', () => clearInterval(timer));
  };
  for (const [answer, words] of [
    [hints, /Timeout: no response within 1 seconds/],
    [redirect, /too many redirects/],
  ] as const) {
    const setting = await setUp(t, { stallMs: 1000 });
    setting.server.intercept = at(top.digest, answer);
    await fails(t, setting, StatusCode.UNKNOWN, words);
  }
});

test('A wrong length or digest is refused, without leftovers', async (t) => {
  const setting = await setUp(t);
  const wrong = Buffer.from(blob);
  wrong[1000]! ^= 1;
  for (const [what, data] of [
    ['digest', wrong],
    ['longer', Buffer.concat([blob, Buffer.from('more')])],
    ['empty', Buffer.alloc(0)],
  ] as const) {
    setting.server.intercept = at(top.digest, (response) => response.end(data));
    const expected = what === 'empty' ? StatusCode.UNKNOWN : StatusCode.DATA_LOSS;
    await fails(t, setting, expected, /sha256:/, what);
  }
  // Content-Length is smaller, or larger, than the content.
  setting.server.intercept = at(top.digest, (response) => {
    response.writeHead(200, { 'content-length': blob.length + 10 });
    response.write(blob, () => response.destroy());
  });
  t.is(await setting.images.pull(`${setting.server.host}/some/app:v1`), image.configDigest);
  await setting.images.remove(image.configDigest);
  setting.server.intercept = at(image.manifestDigest, (response) => response.end('{}'));
  await fails(t, setting, StatusCode.DATA_LOSS, /digest/, 'manifest');
  setting.server.intercept = at(image.configDigest, (response) =>
    response.end(Buffer.concat([image.config, Buffer.from(' ')])),
  );
  await fails(t, setting, StatusCode.DATA_LOSS, /digest/, 'configuration');
  await recovers(t, setting);
});

test('Redirect loops and redirects to files are refused', async (t) => {
  const setting = await setUp(t);
  for (const [location, code, message] of [
    [undefined, StatusCode.UNKNOWN, /too many redirects/],
    ['file:///etc/passwd', StatusCode.INVALID_ARGUMENT, /refused redirect: to file:/],
    ['http://127.0.0.1:1/', StatusCode.UNKNOWN, /^RegistryUnavailable: .*ECONNREFUSED/],
  ] as const) {
    setting.server.intercept = at(top.digest, (response, request) =>
      response.writeHead(307, { location: location ?? request.url }).end(),
    );
    await fails(t, setting, code, message, location);
  }
  await recovers(t, setting);
});

test('Oversized or deeply nested manifests are refused', async (t) => {
  const setting = await setUp(t);
  const index = (manifests: object[]) => Buffer.from(JSON.stringify({ schemaVersion: 2, manifests }));
  const entry = (data: Buffer) => {
    const { architecture } = JSON.parse(image.config.toString()) as { architecture: string };
    return { mediaType: 'x', digest: sha256(data), size: data.length, platform: { os: 'linux', architecture } };
  };
  let nested = image.index;
  const deep = new Map<string, Buffer>();
  for (let i = 0; i < 5; i++) deep.set(sha256(nested), (nested = index([entry(nested)])));
  const manifest = JSON.parse(image.manifest.toString()) as { layers: object[] };
  const many = { ...manifest, layers: Array.from({ length: 1001 }, () => manifest.layers[0]) };
  const bombs: [string, Buffer, RegExp][] = [
    ['large', Buffer.alloc(5_000_000, 0x20), /larger than/],
    ['many layers', Buffer.from(JSON.stringify(many)), /layers/],
    ['nested JSON', Buffer.from('['.repeat(1_000_000)), /JSON|expected object/i],
    ['many manifests', index(Array.from({ length: 10_001 }, () => entry(image.manifest))), /manifests|larger than/],
  ];
  for (const [what, data, message] of bombs) {
    setting.server.intercept = at('/v1', (response) => response.end(data));
    const error = await t.throwsAsync(
      setting.images.pull(`${setting.server.host}/some/app:v1`),
      { instanceOf: CriError },
      what,
    );
    t.regex(error?.message ?? '', message, what);
  }
  const all = new Map([...[...deep.values()].map((data) => [sha256(data), data] as const)]);
  setting.server.intercept = (request, response) => {
    const name = request.url?.split('/').at(-1) ?? '';
    const data = name === 'v1' ? nested : all.get(name);
    if (!data) return false;
    response.end(data);
    return true;
  };
  await fails(t, setting, StatusCode.INVALID_ARGUMENT, /nested too deeply/);
  await recovers(t, setting);
});

test('A layer with an excessive compression ratio is refused', async (t) => {
  const setting = await setUp(t);
  const directory = await temporary(t);
  // 2 GiB of zeros in a file of about 64 KiB; its diff id is never compared.
  const header = tarOf({ name: 'zeros', size: 2 ** 31 }).subarray(0, 512);
  const zstd = spawn(
    'sh',
    ['-c', '(cat; head -c 2147484672 /dev/zero) | zstd -q -c > "$1"', '-', join(directory, 'bomb')],
    {
      stdio: ['pipe', 'inherit', 'inherit'],
    },
  );
  zstd.stdin.end(header);
  await new Promise((resolve) => zstd.once('close', resolve));
  t.true((await stat(join(directory, 'bomb'))).size < 1_000_000);
  const bomb = await readFile(join(directory, 'bomb'));
  const bombed = buildImage([tarOf({ name: 'x' })], { compress: () => bomb });
  setting.server.intercept = (request, response) => {
    const name = request.url?.split('/').at(-1) ?? '';
    const data = name === 'v1' ? bombed.index : bombed.blobs.get(name);
    if (!data) return false;
    response.end(data);
    return true;
  };
  await fails(t, setting, StatusCode.INVALID_ARGUMENT, /too much for its compressed size/);
  await recovers(t, setting);
});

test('A layer on which tar spends too much is refused', async (t) => {
  const links = Array.from({ length: 8000 }, (_, i) => ({
    name: `link${i}`,
    type: 'symlink' as const,
    linkName: `/${'t'.repeat(4000)}`,
  }));
  const directories = Array.from({ length: 40_000 }, (_, i) => ({ name: `directory${i}`, type: 'directory' as const }));
  for (const [entries, limits, words] of [
    [links, { maxTarMemoryBytes: 16 * 2 ** 20 }, 'tar requires more than 16 MiB of memory for it'],
    [directories, { maxTarCpuSeconds: 1 }, 'unpacking takes more than 1 seconds of processor time'],
  ] as const) {
    const store = await newStore(join(await temporary(t), 'store'), limits);
    const tar = tarOf(...entries);
    const diffId = sha256(tar);
    const error = await t.throwsAsync<CriError>(
      withBlob(tar, (blob) => store.applyLayer({ parent: undefined, chainId: diffId, diffId, blob })),
    );
    t.is(error.message, `layer ${diffId}: refused: ${words}`);
    t.is(error.code, StatusCode.INVALID_ARGUMENT);
    t.deepEqual(await store.listLayers(), []);
  }
});

test('A cancelled pull leaves nothing', async (t) => {
  const { server, images, store, root } = await setUp(t);
  const abort = new AbortController();
  const reason = new Error('deadline');
  server.intercept = at(top.digest, (response) => {
    response.writeHead(200, { 'content-length': blob.length });
    response.write(blob.subarray(0, 1000));
    void (async () => {
      // The lower layer is applied meanwhile.
      await eventually('the lower layer', async () => (await store.listLayers()).length > 0);
      abort.abort(reason);
    })();
  });
  t.is(await t.throwsAsync(images.pull(`${server.host}/some/app:v1`, undefined, abort.signal)), reason);
  t.deepEqual(await store.listLayers(), []);
  t.deepEqual(await readdir(join(root, 'content/incoming')), []);
  t.deepEqual(await readdir(join(root, 'overlay/tmp')), []);
});

test('Twenty concurrent pulls fetch each shared blob once', async (t) => {
  const root = join(await temporary(t), 'data');
  const shared = ['base', 'libraries', 'runtime'].map((name) => tarOf({ name, body: name.repeat(50_000) }));
  const twenty = Array.from({ length: 20 }, (_, i) =>
    buildImage([...shared, tarOf({ name: `app${i}`, body: `${i}` })]),
  );
  const server = await serve(t);
  server.intercept = (request, response) => {
    const [, number = '', name = ''] = /\/app(\d+)\/(?:manifests|blobs)\/(.+)$/.exec(request.url ?? '') ?? [];
    const wanted = twenty[Number(number)];
    const data = name === 'v1' ? wanted?.index : wanted?.blobs.get(name);
    setTimeout(() => response.end(data), 5);
    return true;
  };
  const { images, store } = await newService(t, root);
  const ids = await Promise.all(twenty.map((_, i) => images.pull(`${server.host}/team/app${i}:v1`)));
  t.deepEqual(
    ids,
    twenty.map(({ configDigest }) => configDigest),
  );
  const fetched = new Map<string, number>();
  for (const line of server.log) {
    const digest = /\/blobs\/(sha256:.*)$/.exec(line)?.[1];
    if (digest !== undefined) fetched.set(digest, (fetched.get(digest) ?? 0) + 1);
  }
  const layers = new Set(twenty.flatMap((each) => each.layers.map(({ digest }) => digest)));
  t.is(layers.size, 23);
  t.deepEqual(
    [...layers].map((digest) => fetched.get(digest)),
    Array.from({ length: 23 }, () => 1),
  );
  t.is((await store.listLayers()).length, 23);
  const { stdout } = await run('find', [join(root, 'content/incoming'), '-type', 'f']);
  t.is(stdout, '');
});
