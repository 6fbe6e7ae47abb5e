import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { CriError, StatusCode } from '../../../../src/core/model/errors.ts';
import { CorruptTransferError, type ImageReference } from '../../../../src/core/model/image.ts';
import type { Logger } from '../../../../src/core/model/logger.ts';
import { RegistryClient, type RegistryClientOptions } from '../../../../src/integrations/oci/registry-client.ts';
import { readAuthFiles } from '../../../../src/integrations/oci/registry/auth-file.ts';
import { readCertsDirectory } from '../../../../src/integrations/oci/registry/hosts-toml.ts';
import { placesOf } from '../../../../src/integrations/oci/registry/registry-settings.ts';
import { run } from '../../../../src/host/processes/run.ts';
import { buildImage, tarOf } from './image-builder.ts';
import { serve } from './scripted-server.ts';

const drop = () => undefined;
const silent: Logger = { debug: drop, info: drop, warn: drop, error: drop, with: () => silent };
const image = buildImage([tarOf({ name: 'a', body: 'x'.repeat(300_000) })]);
const [layer] = image.layers as [(typeof image.layers)[0]];
const base64 = (text: string) => Buffer.from(text).toString('base64');

function client(t: ExecutionContext, options: Partial<RegistryClientOptions> = {}): RegistryClient {
  const made = new RegistryClient({ logger: silent, retryMs: 1, ...options });
  t.teardown(() => made.close());
  return made;
}

function ref(registry: string, rest: Partial<ImageReference> = {}): ImageReference {
  return { registry, repository: 'some/app', tag: 'v1', digest: undefined, ...rest };
}

/** A directory with these files. */
async function directoryOf(t: ExecutionContext, files: Record<string, string>): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'registry-'));
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(directory, name)), { recursive: true });
    await writeFile(join(directory, name), content);
  }
  return directory;
}

test('auth.json: the most specific entry is used', async (t) => {
  const directory = await directoryOf(t, {
    'a.json': JSON.stringify({
      auths: {
        'quay.io': { auth: base64('host:1') },
        'quay.io/team': { auth: base64('team:2:with:colons') },
        'quay.io/team/app': { username: 'app', password: '3' },
        'https://index.docker.io/v1/': { auth: base64('hub:4'), identitytoken: 'id' },
        'empty.example': {},
      },
    }),
    'b.json': JSON.stringify({
      auths: { 'quay.io/team/app': { auth: base64('late:5') }, 'b.example:5000': { registrytoken: 't' } },
    }),
    'none.json': '{}',
    'broken.json': '{"auths": "s3cret',
    'wrong.json': '{"auths": {"quay.io": "s3cret"}}',
  });
  const find = (name: string) =>
    readAuthFiles(
      ['missing.json', 'none.json', 'a.json', 'b.json'].map((file) => join(directory, file)),
      name,
    );
  t.deepEqual(await find('quay.io/other/app'), { username: 'host', password: '1' });
  t.deepEqual(await find('quay.io/team/other'), { username: 'team', password: '2:with:colons' });
  t.deepEqual(await find('quay.io/team/app'), { username: 'app', password: '3' });
  t.deepEqual(await find('docker.io/library/busybox'), { username: 'hub', password: '4', identityToken: 'id' });
  t.deepEqual(await find('b.example:5000/x'), { registryToken: 't' });
  t.is(await find('quay.io.evil.example/x'), undefined);
  t.is(await find('empty.example/x'), undefined);
  for (const file of ['broken.json', 'wrong.json']) {
    const error = await t.throwsAsync(readAuthFiles([join(directory, file)], 'quay.io/x'), { instanceOf: CriError });
    t.is(error?.code, StatusCode.FAILED_PRECONDITION);
    t.true(error?.message.includes(file) && !error.message.includes('s3cret'));
  }
});

test('credentials of a file apply to their host only', async (t) => {
  const server = await serve(t, image);
  const mirror = await serve(t, image);
  const directory = await directoryOf(t, {
    'auth.json': JSON.stringify({
      auths: { [server.host]: { auth: base64('ann:pw') }, [`${mirror.host}/some`]: { auth: base64('mia:mirror') } },
    }),
  });
  const seen: (string | undefined)[] = [];
  for (const each of [server, mirror]) {
    each.intercept = (request, response) => {
      seen.push(request.headers.authorization);
      if (request.headers.authorization !== undefined) return false;
      response.writeHead(401, { 'www-authenticate': 'Basic realm="r"' }).end();
      return true;
    };
  }
  const options = { authFiles: [join(directory, 'auth.json')] };
  await client(t, options).resolve(ref(server.host), undefined);
  t.is(seen[1], `Basic ${base64('ann:pw')}`);
  seen.length = 0;
  await client(t, options).resolve(ref(server.host), { username: 'given', password: 'pw' });
  t.is(seen[1], `Basic ${base64('given:pw')}`);
  seen.length = 0;
  const mirrors = [{ registry: server.host, endpoints: [`http://${mirror.host}`] }];
  await client(t, { ...options, mirrors }).resolve(ref(server.host), { username: 'given', password: 'pw' });
  t.is(seen[1], `Basic ${base64('mia:mirror')}`);
});

test('hosts.toml: order, paths, capabilities, headers and the namespace', async (t) => {
  const directory = await directoryOf(t, {
    'hub.example/hosts.toml': `
      server = "https://origin.example"
      [host."https://one.example"]
        [host."https://one.example".header]
          X-Key = ["s3cret"]
      [host."https://two.example/prefix"]
        capabilities = ["pull"]
      [host."three.example/v2/hub"]
      [host."https://four.example/api"]
        override_path = true
      [host."https://push.example"]
        capabilities = ["push"]`,
    'port.example_5000_/hosts.toml': 'skip_verify = true',
    '_default/hosts.toml': '[host."http://127.0.0.1:9"]',
    'bad.example/hosts.toml': '[host."https://a.example"]\n  skip_verify = "perhaps"',
    'worse.example/hosts.toml': 'server = ',
    'name.example/hosts.toml': '[host."https://a.example".header]\n"X Key" = "a"',
    'value.example/hosts.toml': '[header]\nX-Key = ["a", "b\\nHost: c"]',
  });
  const found = (await readCertsDirectory(directory, 'hub.example')) ?? [];
  t.deepEqual(
    found.map(({ base, isMirror, digestOnly, headers }) => [base.href, isMirror, digestOnly === true, headers]),
    [
      ['https://one.example/v2/', true, false, { 'x-key': 's3cret' }],
      ['https://two.example/prefix/v2/', true, true, {}],
      ['https://three.example/v2/hub/', true, false, {}],
      ['https://four.example/api/', true, false, {}],
      ['https://origin.example/v2/', false, false, {}],
    ],
  );
  t.is(found[0]?.namespace, 'hub.example');
  t.like((await readCertsDirectory(directory, 'port.example:5000'))?.[0], { tls: { skipVerify: true } });
  const other = (await readCertsDirectory(directory, 'other.example')) ?? [];
  t.deepEqual(
    other.map(({ base }) => base.href),
    ['http://127.0.0.1:9/v2/', 'https://other.example/v2/'],
  );
  t.is(await readCertsDirectory(join(directory, 'missing'), 'hub.example'), undefined);
  for (const [host, words] of [
    ['bad.example', /hosts\.toml: host\..*skip_verify/],
    ['worse.example', /hosts\.toml: /],
    ['name.example', /hosts\.toml: host\.https:\/\/a\.example\.header\.X Key: must be the name of an HTTP header/],
    ['value.example', /hosts\.toml: header\.X-Key: must be printable/],
  ] as const) {
    const error = await t.throwsAsync(readCertsDirectory(directory, host), { instanceOf: CriError });
    t.is(error?.code, StatusCode.FAILED_PRECONDITION);
    t.regex(error?.message ?? '', words);
  }
});

test('hosts.toml headers are not sent on redirects or logged', async (t) => {
  const storage = await serve(t, image);
  const mirror = await serve(t, image);
  let leaked: unknown;
  storage.intercept = (request) => {
    leaked ??= request.headers['x-key'];
    return false;
  };
  let given: unknown;
  mirror.intercept = (request, response) => {
    given ??= request.headers['x-key'];
    if (!request.url?.includes('/blobs/')) return false;
    response.writeHead(302, { location: `http://${storage.host}${request.url}` }).end();
    return true;
  };
  const directory = await directoryOf(t, {
    'hub.example/hosts.toml': `server = "http://${mirror.host}"\n[header]\nX-Key = "s3cret-key"`,
  });
  const found = await client(t, { certsDirs: [directory] }).resolve(ref('hub.example'), undefined);
  t.is((await buffer(await found.openLayer(layer))).length, layer.size);
  t.is(given, 's3cret-key');
  t.is(leaked, undefined);
  mirror.intercept = (request, response) => {
    response.writeHead(403).end(`no ${String(request.headers['x-key'])}`);
    return true;
  };
  const error = await t.throwsAsync(client(t, { certsDirs: [directory] }).resolve(ref('hub.example'), undefined));
  t.regex(error?.message ?? '', /no \[redacted\]/);
});

test('registries.conf: the longest prefix rewrites, mirrors and blocks', async (t) => {
  const directory = await directoryOf(t, {
    'registries.conf': `
      unqualified-search-registries = ["docker.io"]
      [[registry]]
      location = "hub.example"
      [[registry]]
      prefix = "hub.example/team"
      location = "store.example/copies/team"
      insecure = true
      [[registry.mirror]]
      location = "m1.example/x"
      [[registry.mirror]]
      location = "m2.example"
      pull-from-mirror = "digest-only"
      [[registry]]
      prefix = "*.wild.example"
      [[registry.mirror]]
      location = "all.example/wild"
      [[registry]]
      location = "evil.example"`,
    'registries.conf.d/10-block.conf': '[[registry]]\nlocation = "evil.example"\nblocked = true',
  });
  const registriesConf = join(directory, 'registries.conf');
  const places = async (registry: string, repository: string, rest: Partial<ImageReference> = {}) =>
    (await placesOf(ref(registry, { repository, ...rest }), undefined, { registriesConf })).map(
      ({ endpoint, repository: there }) => `${endpoint.isMirror ? 'mirror ' : ''}${endpoint.base.href}${there}`,
    );
  t.deepEqual(await places('hub.example', 'team/app'), [
    'mirror https://m1.example/v2/x/app',
    'mirror https://m2.example/v2/app',
    'https://store.example/v2/copies/team/app',
    'http://store.example/v2/copies/team/app',
  ]);
  t.deepEqual(await places('hub.example', 'teamwork/app'), ['https://hub.example/v2/teamwork/app']);
  t.deepEqual(await places('a.wild.example', 'app'), [
    'mirror https://all.example/v2/wild/app',
    'https://a.wild.example/v2/app',
  ]);
  t.deepEqual(await places('wild.example', 'app'), ['https://wild.example/v2/app']);
  const error = await t.throwsAsync(places('evil.example', 'app'), { instanceOf: CriError });
  t.is(error?.code, StatusCode.PERMISSION_DENIED);
  await writeFile(registriesConf, '[[registry]]\nlocation = 5');
  t.regex((await t.throwsAsync(places('x.example', 'app')))?.message ?? '', /registries\.conf: registry\.0\.location/);
});

test('registries.conf: a location without an address is refused', async (t) => {
  const directory = await directoryOf(t, {});
  const registriesConf = join(directory, 'registries.conf');
  const wrong: [string, RegExp][] = [
    [
      'location = "a.example:99999"\nprefix = "hub.example:5000"',
      /registry "hub\.example:5000": "a\.example:99999\/some\/app"/,
    ],
    ['location = "a.example:80"\nprefix = "hub.example"', /"a\.example:80:5000\/some\/app"/],
    ['prefix = "hub.example:5000"\n[[registry.mirror]]\nlocation = "[::1"', /"\[::1\/some\/app"/],
    ['prefix = "hub.example:5000/some"\n[[registry.mirror]]\nlocation = "/x"', /"\/x\/app"/],
  ];
  for (const [words, message] of wrong) {
    await writeFile(registriesConf, `[[registry]]\n${words}`);
    const error = await t.throwsAsync(placesOf(ref('hub.example:5000'), undefined, { registriesConf }), {
      instanceOf: CriError,
    });
    t.is(error?.code, StatusCode.FAILED_PRECONDITION);
    t.regex(error?.message ?? '', /registries\.conf: /);
    t.regex(error?.message ?? '', message);
    t.regex(error?.message ?? '', /is not the address of a registry/);
  }
});

test('hostile registry names and prefixes match nothing', async (t) => {
  const directory = await directoryOf(t, {
    'registries.conf': '[[registry]]\nlocation = "a.example/b"\nblocked = true',
  });
  const registriesConf = join(directory, 'registries.conf');
  const word = fc.stringMatching(/^[a-z0-9]{1,4}$/);
  await fc.assert(
    fc.asyncProperty(word, word, async (host, name) => {
      const places = await placesOf(ref(`${host}.a.example`, { repository: `b/${name}` }), undefined, {
        registriesConf,
      });
      t.true(places.every(({ endpoint }) => endpoint.base.host === `${host}.a.example`));
    }),
    { numRuns: 200 },
  );
});

test('a mirror with a wrong digest is not retried', async (t) => {
  const mirror = await serve(t, image);
  const origin = await serve(t, image);
  mirror.intercept = (request, response) => {
    if (!request.url?.endsWith(layer.digest)) return false;
    response.end(Buffer.alloc(layer.size, 1));
    return true;
  };
  const mirrors = [{ registry: origin.host, endpoints: [`http://${mirror.host}`] }];
  const found = await client(t, { mirrors }).resolve(ref(origin.host), undefined);
  await t.throwsAsync(buffer(await found.openLayer(layer)), { instanceOf: CorruptTransferError });
  t.is((await buffer(await found.openLayer(layer))).length, layer.size);
  t.is(mirror.log.filter((line) => line.endsWith(layer.digest)).length, 1);
  // Documents named by digest are verified at each endpoint, too.
  mirror.intercept = (request, response) => {
    if (!request.url?.includes('sha256:')) return false;
    response.end('{}');
    return true;
  };
  t.is((await client(t, { mirrors }).resolve(ref(origin.host), undefined)).configDigest, image.configDigest);
});

test('CA and client certificate are used per host', async (t) => {
  const directory = await directoryOf(t, {});
  const openssl = (...args: string[]) => run('openssl', args, { cwd: directory });
  const subject = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
  await openssl('req', '-x509', ...subject, '-keyout', 'ca.key', '-out', 'ca.pem', '-subj', '/CN=test authority');
  for (const name of ['server', 'client']) {
    await openssl(
      ...['req', '-x509', ...subject, '-CA', 'ca.pem', '-CAkey', 'ca.key', '-keyout', `${name}.key`],
      ...['-out', `${name}.pem`, '-subj', `/CN=${name}`, '-addext', 'subjectAltName=IP:127.0.0.1'],
      ...['-addext', 'basicConstraints=critical,CA:false'],
    );
  }
  const { readFile } = await import('node:fs/promises');
  const [ca, key, cert] = await Promise.all(
    ['ca.pem', 'server.key', 'server.pem'].map((name) => readFile(join(directory, name))),
  );
  const server = createServer({ ca, key, cert, requestCert: true, rejectUnauthorized: true }, (request, response) => {
    const [, name = ''] = /\/([^/?]+)(?:\?.*)?$/.exec(request.url ?? '') ?? [];
    response.end(name === 'v1' ? image.index : image.blobs.get(name));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const certs = join(directory, 'certs.d');
  const write = async (toml: string) => {
    await mkdir(join(certs, host), { recursive: true });
    await writeFile(join(certs, host, 'hosts.toml'), toml);
  };
  const pull = () => client(t, { certsDirs: [certs] }).resolve(ref(host), undefined);
  await t.throwsAsync(pull(), { message: /^RegistryUnavailable: / });
  await write('ca = "../../ca.pem"');
  await t.throwsAsync(pull(), { message: /^RegistryUnavailable: / });
  await write(`ca = "../../ca.pem"\nclient = [["../../client.pem", "${directory}/client.key"]]`);
  t.is((await pull()).configDigest, image.configDigest);
  await write('skip_verify = true\nclient = [["../../client.pem", "../../client.key"]]');
  t.is((await pull()).configDigest, image.configDigest);
  await write('client = [["../../client.pem", "../../client.key"]]');
  await t.throwsAsync(pull(), { message: /^RegistryUnavailable: / });
  await write('ca = "missing.pem"');
  await t.throwsAsync(pull(), { message: /missing\.pem: cannot be read/ });
  // Docker's layout: no hosts.toml, certificates by file extension.
  await rm(join(certs, host, 'hosts.toml'));
  for (const [from, to] of [
    ['ca.pem', 'ca.crt'],
    ['client.pem', 'c.cert'],
    ['client.key', 'c.key'],
  ] as const) {
    await writeFile(join(certs, host, to), await readFile(join(directory, from)));
  }
  t.is((await pull()).configDigest, image.configDigest);
});
