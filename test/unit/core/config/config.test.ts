import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import { ConfigError } from '../../../../src/core/config/config-error.ts';
import { CONFIG_FLAGS } from '../../../../src/core/config/flag-names.ts';
import { loadConfig } from '../../../../src/core/config/load.ts';
import { locateKey } from '../../../../src/core/config/locate.ts';
import { nearest } from '../../../../src/core/config/nearest.ts';
import { handlers } from '../../../../src/backends/registry.ts';
import { declareHandlers } from '../../../../src/core/config/handlers.ts';
import { declareVmidRanges } from '../../../../src/core/config/vmid-ranges.ts';
import { vmidRanges } from '../../../../src/backends/proxmox/guests/vmid-ranges.ts';
import { configOutline } from '../../../../src/core/config/outline.ts';
import { defaultConfigToml, dumpConfigToml } from '../../../../src/core/config/render.ts';
import { type Config, configSchema } from '../../../../src/core/config/schema.ts';
import { tomlValue } from '../../../../src/core/config/toml-value.ts';
import { CriError, StatusCode } from '../../../../src/core/model/errors.ts';

declareHandlers(handlers);
declareVmidRanges(vmidRanges);
const DEFAULTS = configSchema().parse({});

async function directory(t: ExecutionContext, files: Record<string, string | Uint8Array> = {}): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'config-test-'));
  t.teardown(() => rm(path, { recursive: true }));
  await mkdir(join(path, 'conf.d'));
  for (const [name, content] of Object.entries(files)) await writeFile(join(path, name), content);
  return path;
}

async function problems(t: ExecutionContext, content: string | Uint8Array, flags = {}): Promise<string[]> {
  const path = join(await directory(t, { 'config.toml': content }), 'config.toml');
  const error = await t.throwsAsync(loadConfig({ file: path, flags }), { instanceOf: ConfigError });
  t.true(error instanceof CriError && error.code === StatusCode.INVALID_ARGUMENT);
  return (error?.problems ?? []).map((problem) => problem.replaceAll(path, 'FILE'));
}

test('A named file must exist but may be empty', async (t) => {
  const path = await directory(t, { 'empty.toml': '' });
  const file = join(path, 'empty.toml');
  t.deepEqual(await loadConfig({ file }), { config: DEFAULTS, files: [file] });
  const error = await t.throwsAsync(loadConfig({ file: join(path, 'none.toml') }), { instanceOf: ConfigError });
  t.regex(error?.message ?? '', /none\.toml: does not exist.*config default/);
});

test('rlimits need valid, unique names and numbers', async (t) => {
  const of = (list: string) => problems(t, `[runtime]\ndefault_ulimits = ${list}\n`);
  t.regex((await of('["nofile=2:1"]'))[0] ?? '', /default_ulimits.*must be "NAME=SOFT\[:HARD\]"/);
  t.regex((await of('["nofile=1", "nofile=2"]'))[0] ?? '', /default_ulimits.*must name each limit once/);
  t.deepEqual(configSchema().parse({ runtime: { default_ulimits: ['core=0'] } }).runtime.default_ulimits, ['core=0']);
});

test('Drop-ins override the main file, flags override both', async (t) => {
  const path = await directory(t, {
    'config.toml': '[log]\nlevel = "warn"\nformat = "json"\n[images]\npinned = ["a", "b"]\n[grpc]\ngroup = 7\n',
    'conf.d/20-b.toml': '[images]\npinned = ["d"]\n[log]\nlevel = "debug"\n',
    'conf.d/10-a.toml': '[images]\npinned = ["c"]\nmax_concurrent_downloads = 9\n[log]\nlevel = "error"\n',
    'conf.d/ignored.txt': 'not toml',
    'conf.d/.hidden.toml': 'not toml',
  });
  const file = join(path, 'config.toml');
  const { config, files } = await loadConfig({
    file,
    flags: { listen: 'unix:///tmp/x.sock', root: '/r', state: undefined },
  });
  t.deepEqual(files, [file, join(path, 'conf.d/10-a.toml'), join(path, 'conf.d/20-b.toml')]);
  t.deepEqual(config, {
    ...DEFAULTS,
    root: '/r',
    log: { level: 'debug', format: 'json' },
    grpc: { ...DEFAULTS.grpc, group: 7, listen: 'unix:///tmp/x.sock' },
    images: { ...DEFAULTS.images, pinned: ['d'], max_concurrent_downloads: 9 },
  });
});

test('problems name the file, line, key and remedy', async (t) => {
  const text = [
    'root = "relative"',
    '[log]',
    'levl = "x"',
    'format = 3',
    '[grpc]',
    'max_message_bytes = 12',
    'frob = 1',
    '[images]',
    'default_registry = ""',
    'platform = 1979-05-27',
    'max_concurrent_downloads = 99',
    '[[images.mirrors]]',
    'registry = "docker.io"',
    '[[images.mirrors]]',
    'registry = "docker.io"',
    'endpoints = ["nope"]',
    'endpoint = "x"',
    '[network]',
    'plugin_dirs = []',
    '[nework]',
  ].join('\n');
  t.deepEqual(
    (await problems(t, text, { 'metrics-listen': 'x', 'default-handler': 'kata' })).sort(),
    [
      '--default-handler: runtime.default_handler: must be "lxc" or "crun" or "proxmox-lxc", not "kata"; the default is "lxc"',
      '--metrics-listen: metrics.listen: must be "ADDRESS:PORT", "unix:///absolute/path.sock", or "" to disable metrics, not "x"; the default is "127.0.0.1:11090"',
      'FILE:10: images.platform: must be a string in quotes, not a date; the default is ""',
      'FILE:11: images.max_concurrent_downloads: must be at most 32, not 99; the default is 3',
      'FILE:12: images.mirrors[0].endpoints: is missing',
      'FILE:16: images.mirrors[1].endpoints[0]: must be a URL, such as "https://mirror.example", not "nope"',
      'FILE:17: images.mirrors[1].endpoint: unknown key; did you mean "endpoints"?',
      'FILE:19: network.plugin_dirs: must not be empty, not []; the default is ["/opt/cni/bin", "/usr/lib/cni"]',
      'FILE:1: root: must be an absolute path on one line, such as "/var/lib/proxmox-lxcri", not "relative"; the default is "/var/lib/proxmox-lxcri"',
      'FILE:20: nework: unknown key; did you mean "network"?',
      'FILE:3: log.levl: unknown key; did you mean "level"?',
      'FILE:4: log.format: must be "auto" or "text" or "json", not 3; the default is "auto"',
      'FILE:6: grpc.max_message_bytes: must be at least 4194304, not 12; the default is 16777216',
      'FILE:7: grpc.frob: unknown key; known keys: listen, group, max_message_bytes',
      'FILE:9: images.default_registry: must not be empty, not ""; the default is "docker.io"',
    ].sort(),
  );
});

test('A file of another kind gets some short problems', async (t) => {
  const lines = Array.from({ length: 2000 }, (_, index) => `key${String(index)} = 1`);
  const found = await problems(t, lines.join('\n'));
  t.is(found.length, 51);
  t.regex(found[49] ?? '', /^FILE:50: key49: unknown key/);
  t.is(found[50], 'configuration: 1950 more problems');
  const [long] = await problems(t, `[log]\n${'x'.repeat(9000)} = 1\n`);
  t.regex(long ?? '', /^FILE:2: log\.x{100}…: unknown key; known keys: level, format$/);
  const [twice] = await problems(t, `[log]\n${`${'x'.repeat(9000)} = 1\n`.repeat(2)}`);
  t.true((twice ?? '').length < 500, `${String(twice?.length)} characters`);
});

test('An invalid drop-in is named in its error', async (t) => {
  const path = await directory(t, { 'config.toml': 'log.level = "info"\n', 'conf.d/a.toml': '\nlog.level = "loud"\n' });
  const error = await t.throwsAsync(loadConfig({ file: join(path, 'config.toml') }), { instanceOf: ConfigError });
  t.regex(error?.message ?? '', /conf\.d\/a\.toml:2: log\.level: must be/);
  await rm(join(path, 'conf.d/a.toml'));
  await symlink('/nowhere', join(path, 'conf.d/b.toml'));
  await t.throwsAsync(loadConfig({ file: join(path, 'config.toml') }), {
    instanceOf: ConfigError,
    message: /b\.toml: points/,
  });
  await mkdir(join(path, 'directory.toml'));
  await t.throwsAsync(loadConfig({ file: join(path, 'directory.toml') }), {
    instanceOf: ConfigError,
    message: /cannot be read/,
  });
});

test('Invalid TOML is reported with line and column', async (t) => {
  t.regex((await problems(t, 'root = "/a"\nlog = [1,\n'))[0] ?? '', /^FILE:\d+:\d+: is not valid TOML: /);
  t.deepEqual(await problems(t, Uint8Array.of(0x61, 0xff)), ['FILE: is not UTF-8 text; save it in that encoding']);
  t.regex((await problems(t, 'x'.repeat(1_100_000)))[0] ?? '', /larger than 1 MiB/);
  t.regex((await problems(t, '__proto__ = 1'))[0] ?? '', /^FILE/);
  t.regex((await problems(t, 'constructor = 1'))[0] ?? '', /^FILE/);
  t.deepEqual(await problems(t, '', { 'log-levl': 'x' }), ['--log-levl: unknown flag; did you mean "--log-level"?']);
});

test('The default file parses to the defaults', async (t) => {
  const text = defaultConfigToml();
  const on = text.replaceAll(/^#(\w+ = )/gm, '$1').replaceAll(/^(\w+) = (.*)\n\1 = .*\n/gm, '$1 = $2\n'); // without examples
  const path = await directory(t, { 'a.toml': text, 'b.toml': on });
  for (const name of ['a.toml', 'b.toml']) {
    t.deepEqual((await loadConfig({ file: join(path, name) })).config, DEFAULTS);
  }
  t.is(on.match(/^\w+ = /gm)?.length, configOutline().flatMap((table) => table.keys).length);
  t.true(text.split('\n').every((line) => line.length <= 120));
});

test('Every key has a description; every flag sets one', (t) => {
  for (const table of configOutline()) {
    if (table.name !== '') t.not(table.description, '', table.name);
    for (const key of table.keys) t.not(key.description, '', `${table.name}.${key.name}`);
  }
  for (const flag of CONFIG_FLAGS) {
    const table = configOutline().find(({ name }) => name === flag.table);
    t.true(
      table?.keys.some(({ name }) => name === flag.key),
      flag.name,
    );
  }
});

test('A dumped configuration loads unchanged', async (t) => {
  const path = await directory(t);
  const file = join(path, 'dump.toml');
  const line = fc.string({ unit: 'grapheme', minLength: 1 });
  await fc.assert(
    fc.asyncProperty(
      fc.array(line),
      fc.array(fc.tuple(line, fc.webUrl())),
      fc.double({ min: 0, max: 86_400, noNaN: true }),
      async (pinned, mirrors, stall) => {
        const config: Config = {
          ...DEFAULTS,
          images: {
            ...DEFAULTS.images,
            pinned,
            stall_seconds: stall + 0,
            mirrors: mirrors.map(([registry, url]) => ({ registry, endpoints: [url] })),
          },
        };
        await writeFile(file, dumpConfigToml(config));
        t.deepEqual((await loadConfig({ file })).config, config);
      },
    ),
    { numRuns: 200 },
  );
});

test('Any bytes load as configuration or fail with ConfigError', async (t) => {
  const path = await directory(t);
  const file = join(path, 'fuzz.toml');
  const names = configOutline().flatMap(({ name, keys }) => [name, ...keys.map((key) => key.name)]);
  const word = fc.oneof(fc.constantFrom(...names, '__proto__', 'constructor', '"a b"'), fc.string());
  const value = fc.oneof(
    fc.anything().map((any) => {
      try {
        return tomlValue(any);
      } catch {
        return '1';
      }
    }),
    fc.constantFrom(
      'nan',
      '-inf',
      '1979-05-27',
      '07:32:00',
      '9223372036854775807',
      '[[[]]]',
      '{a={b={}}}',
      "'''x\ny'''",
    ),
    fc.string(),
  );
  const line = fc.oneof(
    fc.tuple(word, value).map(([key, text]) => `${key} = ${text}`),
    word.map((name) => `[${name}]`),
    word.map((name) => `[[${name}]]`),
  );
  const content = fc.oneof(
    fc.uint8Array(),
    fc.array(line).map((lines) => Buffer.from(lines.join('\n'))),
  );
  await fc.assert(
    fc.asyncProperty(
      content,
      fc.dictionary(fc.constantFrom(...CONFIG_FLAGS.map(({ name }) => name), 'x'), fc.string()),
      async (bytes, flags) => {
        await writeFile(file, bytes);
        try {
          const { config } = await loadConfig({ file, flags });
          t.deepEqual(configSchema().parse(config), config);
        } catch (error) {
          if (!(error instanceof ConfigError)) throw error;
        }
      },
    ),
    { numRuns: 1500 },
  );
  t.is(({} as Record<string, unknown>)['polluted'], undefined);
});

test('locateKey finds dotted keys, quoted keys and array tables', (t) => {
  const text = 'a.b = 1\n[c."d e"]\nf = 1\n[[g]]\n[[g]]\nh = { i = 1 } # x\n';
  t.is(locateKey(text, ['a', 'b']), 1);
  t.is(locateKey(text, ['c', 'd e', 'f']), 3);
  t.is(locateKey(text, ['g', 1, 'h', 'i']), 6);
  t.is(locateKey(text, ['g', 0, 'h']), 4);
  t.is(locateKey(text, ['z']), undefined);
});

test('nearest suggests only close matches', (t) => {
  t.is(nearest('levl', ['format', 'level']), 'level');
  t.is(nearest('log-level', ['log_level']), 'log_level');
  t.is(nearest('zzz', ['level', 'format']), undefined);
});
