import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib';
import { buffer } from 'node:stream/consumers';
import { CriError, StatusCode } from '../../../../src/core/model/errors.ts';
import type { Credentials, ImageReference } from '../../../../src/core/model/image.ts';
import type { Logger } from '../../../../src/core/model/logger.ts';
import { RegistryClient, type RegistryClientOptions } from '../../../../src/integrations/oci/registry-client.ts';
import { isMeantFor } from '../../../../src/integrations/oci/registry/auth-file.ts';
import { parseChallenges } from '../../../../src/integrations/oci/registry/challenge.ts';
import { ownEndpoints } from '../../../../src/integrations/oci/registry/endpoints.ts';
import { wordsOf } from '../../../../src/integrations/oci/registry/failure.ts';
import { buildImage, sha256, tarOf } from './image-builder.ts';
import { serve } from './scripted-server.ts';

const drop = () => undefined;
const silent: Logger = { debug: drop, info: drop, warn: drop, error: drop, with: () => silent };
const image = buildImage([tarOf({ name: 'a', body: 'x'.repeat(300_000) })], {
  compress: (tar) => gzipSync(tar, { level: 0 }),
  mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
});
const [layer] = image.layers as [(typeof image.layers)[0]];
const blob = image.blobs.get(layer.digest)!;

function client(t: ExecutionContext, options: Partial<RegistryClientOptions> = {}): RegistryClient {
  const made = new RegistryClient({ logger: silent, retryMs: 1, ...options });
  t.teardown(() => made.close());
  return made;
}

function ref(host: string, rest: Partial<ImageReference> = {}): ImageReference {
  return { registry: host, repository: 'some/app', tag: 'v1', digest: undefined, ...rest };
}

async function failure(t: ExecutionContext, promise: Promise<unknown>): Promise<CriError> {
  const error = await t.throwsAsync(promise);
  t.true(error instanceof CriError, String(error));
  return error as CriError;
}

test("an index resolves to this machine's verified image", async (t) => {
  const server = await serve(t, image);
  const found = await client(t).resolve(ref(server.host), undefined);
  t.is(found.digest, image.indexDigest);
  t.is(found.manifestDigest, image.manifestDigest);
  t.is(found.configDigest, image.configDigest);
  t.deepEqual(found.layers, image.layers);
  t.deepEqual(await buffer(await found.openLayer(layer)), blob);
});

test('a manifest is verified against the digest reference', async (t) => {
  const server = await serve(t, image);
  const found = await client(t).resolve(ref(server.host, { tag: undefined, digest: image.indexDigest }), undefined);
  t.is(found.digest, image.indexDigest);
  server.intercept = (_, response) => {
    response.end(Buffer.concat([image.index, Buffer.from(' ')]));
    return true;
  };
  const error = await failure(
    t,
    client(t).resolve(ref(server.host, { tag: undefined, digest: image.indexDigest }), undefined),
  );
  t.is(error.code, StatusCode.DATA_LOSS);
});

test('a missing platform is NOT_FOUND and lists the others', async (t) => {
  const server = await serve(t, image);
  const error = await failure(t, client(t, { platform: 'linux/s390x' }).resolve(ref(server.host), undefined));
  t.is(error.code, StatusCode.NOT_FOUND);
  t.regex(error.message, /linux\/s390x.*linux\/pdp11/);
});

for (const [status, code] of [
  [400, StatusCode.INVALID_ARGUMENT],
  [401, StatusCode.UNAUTHENTICATED],
  [403, StatusCode.PERMISSION_DENIED],
  [404, StatusCode.NOT_FOUND],
  [429, StatusCode.RESOURCE_EXHAUSTED],
  [500, StatusCode.UNKNOWN],
  [503, StatusCode.UNKNOWN],
] as const) {
  test(`HTTP ${status} becomes ${code} with the registry's message`, async (t) => {
    const server = await serve(t);
    server.intercept = (_, response) => {
      response.writeHead(status).end('{"errors":[{"code":"TEAPOT","message":"short and\\nstout"}]}');
      return true;
    };
    const error = await failure(t, client(t).resolve(ref(server.host), undefined));
    t.is(error.code, code);
    t.regex(error.message, /TEAPOT: short and stout/);
    t.is(error.message.startsWith('RegistryUnavailable: '), status >= 500);
  });
}

test('an unreachable registry is RegistryUnavailable', async (t) => {
  const error = await failure(t, client(t).resolve(ref('127.0.0.1:1'), undefined));
  t.is(error.code, StatusCode.UNKNOWN);
  t.regex(error.message, /^RegistryUnavailable: 127\.0\.0\.1:1: .*ECONNREFUSED/);
});

test('a bearer token is fetched with the credentials', async (t) => {
  const server = await serve(t, image);
  let tokens = 0;
  server.intercept = (request, response) => {
    if (request.url?.startsWith('/token')) {
      tokens++;
      const basic = Buffer.from((request.headers.authorization ?? '').replace('Basic ', ''), 'base64').toString();
      const { searchParams } = new URL(request.url, 'http://x');
      const ok = basic === 'ann:s3cret' && searchParams.get('scope') === 'repository:some/app:pull';
      response
        .writeHead(ok ? 200 : 401)
        .end(ok ? '{"token":"t0ken"}' : '{"errors":[{"code":"DENIED","message":"no s3cret"}]}');
      return true;
    }
    if (request.headers.authorization === 'Bearer t0ken') return false;
    const scope = 'scope="repository:some/app:pull"';
    response.setHeader('www-authenticate', `Bearer realm="http://${server.host}/token",service="reg",${scope}`);
    response.writeHead(401).end();
    return true;
  };
  const found = await client(t).resolve(ref(server.host), { username: 'ann', password: 's3cret' });
  t.deepEqual(await buffer(await found.openLayer(layer)), blob);
  t.is(tokens, 1);
  const error = await failure(t, client(t).resolve(ref(server.host), { username: 'bob', password: 's3cret' }));
  t.is(error.code, StatusCode.UNAUTHENTICATED);
  t.false(error.message.includes('s3cret'));
});

const basicCases: [string, Credentials | undefined, boolean][] = [
  ['right', { username: 'ann', password: 'pw' }, true],
  ['wrong', { username: 'ann', password: 'no' }, false],
  ['no', undefined, false],
];
for (const [name, credentials, works] of basicCases) {
  test(`Basic authentication with ${name} credentials`, async (t) => {
    const server = await serve(t, image);
    server.intercept = (request, response) => {
      if (request.headers.authorization === `Basic ${Buffer.from('ann:pw').toString('base64')}`) return false;
      response.writeHead(401, { 'www-authenticate': 'Basic realm="r"' }).end();
      return true;
    };
    const pulling = client(t).resolve(ref(server.host), credentials);
    if (works) t.is((await pulling).digest, image.indexDigest);
    else t.is((await failure(t, pulling)).code, StatusCode.UNAUTHENTICATED);
  });
}

test('a redirect to another host omits the credentials', async (t) => {
  const store = await serve(t, image);
  const server = await serve(t, image);
  let leaked: string | undefined;
  store.intercept = (request) => {
    leaked ??= request.headers.authorization;
    return false;
  };
  server.intercept = (request, response) => {
    t.is(request.headers.authorization, 'Bearer given');
    if (!request.url?.includes('/blobs/')) return false;
    response.writeHead(307, { location: `http://${store.host}${request.url}` }).end();
    return true;
  };
  const found = await client(t).resolve(ref(server.host), { registryToken: 'given' });
  t.deepEqual(await buffer(await found.openLayer(layer)), blob);
  t.is(leaked, undefined);
  t.true(store.log.length >= 2);
});

test('a redirect loop ends', async (t) => {
  const server = await serve(t);
  server.intercept = (request, response) => {
    response.writeHead(302, { location: request.url ?? '' }).end();
    return true;
  };
  t.regex((await failure(t, client(t).resolve(ref(server.host), undefined))).message, /too many redirects/);
});

for (const honoursRange of [true, false]) {
  test(`a broken transfer is resumed; ranges ${honoursRange ? 'honoured' : 'ignored'}`, async (t) => {
    const server = await serve(t, image);
    let breaks = 0;
    server.intercept = (request, response) => {
      if (!request.url?.endsWith(layer.digest)) return false;
      const from = honoursRange ? Number(/\d+/.exec(request.headers.range ?? '')?.[0] ?? 0) : 0;
      const end = ++breaks <= 3 ? from + 50_000 + (honoursRange ? 0 : breaks * 40_000) : blob.length;
      if (from > 0) response.setHeader('content-range', `bytes ${from}-${blob.length - 1}/${blob.length}`);
      response.writeHead(from > 0 ? 206 : 200, { 'content-length': blob.length - from });
      response.write(blob.subarray(from, end), () => {
        if (end < blob.length) response.destroy();
        else response.end();
      });
      return true;
    };
    const found = await client(t).resolve(ref(server.host), undefined);
    t.deepEqual(await buffer(await found.openLayer(layer)), blob);
    t.is(breaks, 4);
  });
}

for (const honoursRange of [true, false]) {
  test(`a blob range survives a break; ranges ${honoursRange ? 'honoured' : 'ignored'}`, async (t) => {
    const server = await serve(t, image);
    const asked: (string | undefined)[] = [];
    server.intercept = (request, response) => {
      if (!request.url?.endsWith(layer.digest)) return false;
      asked.push(request.headers.range);
      const [, first = '0', last = blob.length - 1] = /(\d+)-(\d+)?/.exec(request.headers.range ?? '') ?? [];
      const from = honoursRange ? Number(first) : 0;
      const end = honoursRange ? Number(last) + 1 : blob.length;
      if (honoursRange) response.setHeader('content-range', `bytes ${from}-${end - 1}/${blob.length}`);
      response.writeHead(honoursRange ? 206 : 200, { 'content-length': end - from });
      const sent = asked.length > 1 ? end : Math.min(end, 150_000);
      response.write(blob.subarray(from, sent), () => (sent < end ? response.destroy() : response.end()));
      return true;
    };
    const found = await client(t).resolve(ref(server.host), undefined);
    const part = await buffer(await found.openLayer(layer, undefined, { offset: 100_000, length: 120_000 }));
    t.deepEqual(part, blob.subarray(100_000, 220_000));
    t.is(asked[0], 'bytes=100000-219999');
    t.true(
      (await buffer(await found.openLayer(layer, undefined, { offset: blob.length - 5, length: 5 }))).equals(
        blob.subarray(-5),
      ),
    );
  });
}

test('a transfer without progress fails', async (t) => {
  const server = await serve(t, image);
  server.intercept = (request, response) => {
    if (!request.url?.endsWith(layer.digest)) return false;
    response.writeHead(200, { 'content-length': blob.length });
    response.write(blob.subarray(0, 10), () => response.destroy());
    return true;
  };
  const found = await client(t).resolve(ref(server.host), undefined);
  const error = await failure(t, buffer(await found.openLayer(layer)));
  t.regex(error.message, /^RegistryUnavailable: /);
});

for (const [what, change] of [
  ['other bytes', (data: Buffer) => Buffer.concat([Buffer.from([data[0]! ^ 1]), data.subarray(1)])],
  ['more bytes', (data: Buffer) => Buffer.concat([data, Buffer.from('x')])],
] as const) {
  test(`a blob of ${what} than announced is DATA_LOSS`, async (t) => {
    const server = await serve(t, image);
    server.intercept = (request, response) => {
      if (!request.url?.endsWith(layer.digest)) return false;
      response.end(change(blob));
      return true;
    };
    const found = await client(t).resolve(ref(server.host), undefined);
    t.is((await failure(t, buffer(await found.openLayer(layer)))).code, StatusCode.DATA_LOSS);
  });
}

test('a stalled server fails the pull', async (t) => {
  const server = await serve(t, image);
  server.intercept = () => true;
  const error = await failure(t, client(t, { stallMs: 200 }).resolve(ref(server.host), undefined));
  t.regex(error.message, /^RegistryUnavailable: /);
});

test('an aborted pull fails with the abort reason', async (t) => {
  const server = await serve(t, image);
  const abort = new AbortController();
  const reason = new Error('deadline');
  server.intercept = () => {
    setImmediate(() => {
      abort.abort(reason);
    });
    return true;
  };
  t.is(await t.throwsAsync(client(t).resolve(ref(server.host), undefined, abort.signal)), reason);
  const streaming = await serve(t, image);
  const found = await client(t).resolve(ref(streaming.host), undefined);
  const second = new AbortController();
  streaming.intercept = (_, response) => {
    response.writeHead(200, { 'content-length': blob.length });
    response.write(blob.subarray(0, 10), () => {
      second.abort(reason);
    });
    return true;
  };
  t.is(await t.throwsAsync(buffer(await found.openLayer(layer, second.signal))), reason);
});

test('mirrors are tried first, without credentials', async (t) => {
  const broken = await serve(t);
  const good = await serve(t, image);
  const origin = await serve(t, image);
  let seen: string | undefined;
  good.intercept = (request) => {
    seen = request.headers.authorization;
    return false;
  };
  const mirrors = [
    { registry: origin.host, endpoints: ['http://127.0.0.1:1', `http://${broken.host}`, `http://${good.host}/hub`] },
  ];
  const found = await client(t, { mirrors }).resolve(ref(origin.host), { registryToken: 'given' });
  t.deepEqual(await buffer(await found.openLayer(layer)), blob);
  t.is(seen, undefined);
  t.deepEqual(origin.log, []);
  t.true(broken.log.length > 0);
  t.true(good.log.every((line) => line.startsWith('GET /hub/v2/some/app/')));
});

test("the registry's error is reported when mirrors fail too", async (t) => {
  const origin = await serve(t);
  origin.intercept = (_, response) => {
    response.writeHead(403).end('{"errors":[{"code":"DENIED","message":"not yours"}]}');
    return true;
  };
  const mirrors = [{ registry: origin.host, endpoints: ['http://127.0.0.1:1'] }];
  const error = await failure(t, client(t, { mirrors }).resolve(ref(origin.host), undefined));
  t.is(error.code, StatusCode.PERMISSION_DENIED);
  t.regex(error.message, /not yours/);
});

test("a mirror's error is reported for an unreachable registry", async (t) => {
  const mirror = await serve(t);
  const mirrors = [{ registry: '127.0.0.1:1', endpoints: [`http://${mirror.host}`] }];
  const error = await failure(t, client(t, { mirrors }).resolve(ref('127.0.0.1:1'), undefined));
  t.regex(error.message, /^RegistryUnavailable: 127\.0\.0\.1:1: .*ECONNREFUSED/);
  t.true(error.message.includes(`other endpoints: registry ${mirror.host} returned 404`), error.message);
});

for (const [address, isSent] of [
  ['', true],
  ['https://index.docker.io/v1/', false],
  ['other.example', false],
  ['http://HOST/v2/', true],
  ['HOST', true],
] as const) {
  test(`credentials for ${address || 'no host in particular'} are ${isSent ? 'sent' : 'kept'}`, async (t) => {
    const server = await serve(t, image);
    const seen = new Set<string | undefined>();
    server.intercept = (request) => {
      seen.add(request.headers.authorization);
      return false;
    };
    const serverAddress = address.replace('HOST', server.host);
    await client(t).resolve(ref(server.host), { registryToken: 'given', serverAddress });
    t.deepEqual([...seen], [isSent ? 'Bearer given' : undefined]);
  });
}

test('any Docker Hub address selects the same credentials', (t) => {
  for (const serverAddress of ['https://index.docker.io/v1/', 'docker.io', 'https://registry-1.docker.io']) {
    t.true(isMeantFor({ serverAddress }, 'docker.io'), serverAddress);
    t.false(isMeantFor({ serverAddress }, 'quay.io'), serverAddress);
  }
  t.true(isMeantFor({ serverAddress: 'https://reg.example:443/v2' }, 'reg.example'));
  t.false(isMeantFor({ serverAddress: 'reg.example:5000' }, 'reg.example'));
});

for (const status of [307, 302]) {
  test(`a token redirect ${status} omits the refresh token`, async (t) => {
    const thief = await serve(t);
    let stolen = '';
    thief.intercept = (request, response) => {
      request.on('data', (chunk: Buffer) => (stolen += chunk.toString()));
      request.on('end', () => response.end('{"token":"x"}'));
      return true;
    };
    const server = await serve(t, image);
    server.intercept = (request, response) => {
      if (request.url?.startsWith('/token')) {
        response.writeHead(status, { location: `http://${thief.host}/token` }).end();
      } else {
        response.setHeader('www-authenticate', `Bearer realm="http://${server.host}/token"`);
        response.writeHead(401).end();
      }
      return true;
    };
    await failure(t, client(t).resolve(ref(server.host), { identityToken: 's3cret' }));
    t.is(stolen, '');
    if (status === 307) t.deepEqual(thief.log, []);
    t.false(thief.log.join(' ').includes('s3cret'));
  });
}

for (const encoding of ['gzip', 'br', 'zstd', 'deflate'] as const) {
  test(`documents with encoding ${encoding} are decoded`, async (t) => {
    const encode = { gzip: gzipSync, br: brotliCompressSync, zstd: zstdCompressSync, deflate: deflateSync }[encoding];
    const server = await serve(t, image);
    server.intercept = (request, response) => {
      if (!request.url?.includes('/manifests/')) return false;
      const name = request.url.split('/').at(-1) ?? '';
      const document = name.startsWith('sha256:') ? image.blobs.get(name)! : image.index;
      response.writeHead(200, { 'content-encoding': encoding }).end(encode(document));
      return true;
    };
    t.is((await client(t).resolve(ref(server.host), undefined)).manifestDigest, image.manifestDigest);
  });
}

test('unknown, damaged and oversized encodings are refused', async (t) => {
  const server = await serve(t);
  let answer: [string, Buffer] = ['', Buffer.alloc(0)];
  server.intercept = (_, response) => {
    response.writeHead(200, { 'content-encoding': answer[0] }).end(answer[1]);
    return true;
  };
  const bomb = gzipSync(Buffer.alloc(5_000_000, 32));
  for (answer of [
    ['gzip', bomb],
    ['gzip', bomb.subarray(0, 50)],
    ['rot13', Buffer.from('x')],
  ] as [string, Buffer][]) {
    t.is((await failure(t, client(t).resolve(ref(server.host), undefined))).code, StatusCode.DATA_LOSS);
  }
  answer = ['gzip', image.index];
  t.is((await failure(t, client(t).resolve(ref(server.host), undefined))).code, StatusCode.DATA_LOSS);
});

for (const status of [408, 425, 500]) {
  test(`a blob is retried after HTTP ${status}`, async (t) => {
    const server = await serve(t, image);
    let asked = 0;
    server.intercept = (request, response) => {
      if (!request.url?.endsWith(layer.digest) || ++asked > 1) return false;
      response.writeHead(status).end();
      return true;
    };
    const found = await client(t).resolve(ref(server.host), undefined);
    t.deepEqual(await buffer(await found.openLayer(layer)), blob);
  });
}

test('oversized, ambiguous and non-image manifests are refused', async (t) => {
  const server = await serve(t);
  let document = Buffer.alloc(0);
  server.intercept = (_, response) => {
    response.end(document);
    return true;
  };
  const refusal = async (data: string | Buffer) => {
    document = Buffer.from(data);
    return failure(t, client(t).resolve(ref(server.host), undefined));
  };
  t.is((await refusal(Buffer.alloc(5_000_000, 32))).code, StatusCode.DATA_LOSS);
  t.is((await refusal('not json')).code, StatusCode.INVALID_ARGUMENT);
  t.regex((await refusal('{"schemaVersion":1}')).message, /schema 1/);
  const manifest = JSON.parse(image.manifest.toString()) as { config: object; layers: { mediaType: string }[] };
  t.regex((await refusal(JSON.stringify({ ...manifest, manifests: [] }))).message, /at once/);
  const artifact = {
    ...manifest,
    config: { ...manifest.config, mediaType: 'application/vnd.cncf.helm.config.v1+json' },
  };
  t.is((await refusal(JSON.stringify(artifact))).code, StatusCode.FAILED_PRECONDITION);
  const encrypted = manifest.layers.map((each) => ({ ...each, mediaType: `${each.mediaType}+encrypted` }));
  t.is((await refusal(JSON.stringify({ ...manifest, layers: encrypted }))).code, StatusCode.UNIMPLEMENTED);
});

test('only loopback and listed registries use plain HTTP', (t) => {
  const bases = (host: string, insecure?: 'http' | 'unverified') =>
    ownEndpoints(host, insecure).map(({ base }) => base.href);
  t.deepEqual(bases('docker.io'), ['https://registry-1.docker.io/v2/']);
  t.deepEqual(bases('10.0.0.1:5000'), ['https://10.0.0.1:5000/v2/']);
  t.deepEqual(bases('10.0.0.1:5000', 'http'), ['http://10.0.0.1:5000/v2/']);
  t.deepEqual(bases('10.0.0.1:5000', 'unverified'), ['https://10.0.0.1:5000/v2/', 'http://10.0.0.1:5000/v2/']);
  t.deepEqual(bases('localhost:5000'), ['https://localhost:5000/v2/', 'http://localhost:5000/v2/']);
  t.deepEqual(bases('127.evil.example'), ['https://127.evil.example/v2/']);
});

test('any challenge is parsed without error', (t) => {
  t.deepEqual(parseChallenges('Bearer realm="https://a/t?x=1,2",service=reg, Basic realm="q\\"z"'), [
    { scheme: 'bearer', parameters: { realm: 'https://a/t?x=1,2', service: 'reg' } },
    { scheme: 'basic', parameters: { realm: 'q"z' } },
  ]);
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[Ba ,="\\x]*$/)), (header) => {
      t.true(Array.isArray(parseChallenges(header)));
    }),
    { numRuns: 2000 },
  );
});

test("a registry's message is logged printable and without secrets", (t) => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.string({ minLength: 4 }), (noise, secret) => {
      const words = wordsOf(JSON.stringify({ errors: [{ code: 'X', message: noise + secret + noise }] }), [secret]);
      return /^[\x20-\x7e]{0,300}$/.test(words) && !words.replaceAll('[redacted]', '').includes(secret);
    }),
    { numRuns: 1000, examples: [['', 'aaaa']] },
  );
  t.is(wordsOf('<html>502</html>', []), '');
  t.is(sha256('').length, 71);
});
