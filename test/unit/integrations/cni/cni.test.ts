import { execFileSync } from 'node:child_process';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import fc from 'fast-check';
import { mkdir, mkdtemp, readFile, readdir, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CriError } from '../../../../src/core/model/errors.ts';
import type { NetworkRequest } from '../../../../src/core/model/network.ts';
import { CniConfigDirectory } from '../../../../src/integrations/cni/cni-config-directory.ts';
import { parseCniConfig, speaks } from '../../../../src/integrations/cni/cni-config.ts';
import { CniPlugins } from '../../../../src/integrations/cni/cni-plugin.ts';
import { cniArgs, pluginInput, runtimeConfig } from '../../../../src/integrations/cni/cni-request.ts';
import { addressesOf } from '../../../../src/integrations/cni/cni-result.ts';
import { ConfTemplate, renderTemplate, templatedFile } from '../../../../src/integrations/cni/conf-template.ts';

const request: NetworkRequest = {
  sandboxId: 'ab12',
  podName: 'web-0',
  podNamespace: 'default',
  podUid: 'u-1',
  netns: '/run/netns/x',
  portMappings: [{ hostIp: '', hostPort: 8080, containerPort: 80, protocol: 'tcp' }],
  bandwidth: { ingressRate: 1000 },
  cgroupParent: '/kubepods/pod1',
  annotations: { a: 'b' },
  dns: { servers: ['10.96.0.10'], searches: ['svc'], options: [] },
};

async function temporary(t: ExecutionContext): Promise<string> {
  const directory = await mkdtemp('/tmp/cni-');
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

test('a configuration is a list or a single plugin', (t) => {
  const list = parseCniConfig('{"cniVersion":"1.0.0","name":"n","plugins":[{"type":"bridge"},{"type":"portmap"}]}');
  t.deepEqual(
    [list.name, list.cniVersion, list.plugins.map(({ type }) => type)],
    ['n', '1.0.0', ['bridge', 'portmap']],
  );
  const single = parseCniConfig('{"cniVersion":"0.4.0","name":"n","type":"bridge","bridge":"br0"}');
  t.is(single.plugins.length, 1);
  t.is(single.plugins[0]?.['bridge'], 'br0');
  t.deepEqual(parseCniConfig(JSON.stringify(single)), single);
});

test('the highest known version is chosen', (t) => {
  const parse = (more: object) => parseCniConfig(JSON.stringify({ name: 'n', plugins: [{ type: 'a' }], ...more }));
  t.is(parse({ cniVersion: '1.0.0', cniVersions: ['0.4.0', '1.1.0', '2.0.0'] }).cniVersion, '1.1.0');
  t.is(parse({ cniVersion: '1.0.0', cniVersions: ['0.4.0'] }).cniVersion, '1.0.0');
  t.is(parse({ cniVersion: '0.2.0', cniVersions: ['0.4.0'] }).cniVersion, '0.4.0');
  t.is(parse({}).cniVersion, '0.3.1');
  t.true(speaks(parse({ cniVersion: '1.0.0' }), '0.4.0'));
  t.false(speaks(parse({ cniVersion: '1.0.0' }), '1.1.0'));
  t.like(parse({}), { disableCheck: false, disableGC: false, loadOnlyInlinedPlugins: false });
  t.like(parse({ disableCheck: 'true', disableGC: true }), { disableCheck: true, disableGC: true });
});

test('an invalid configuration is refused with its reason', (t) => {
  const wrong: [string, RegExp][] = [
    ['[]', /not a JSON object/],
    ['{', /JSON/],
    ['{"plugins":[{"type":"a"}]}', /"name"/],
    ['{"name":"../x","plugins":[{"type":"a"}]}', /"name"/],
    ['{"name":"n","plugins":{}}', /"plugins"/],
    ['{"name":"n","disableGC":"perhaps","plugins":[]}', /"disableGC" must be true or false/],
    ['{"name":"n","cniVersions":"1.0.0","plugins":[]}', /"cniVersions"/],
    ['{"name":"n","plugins":[{}]}', /"type"/],
    ['{"name":"n","plugins":[{"type":"../../bin/sh"}]}', /"type"/],
    ['{"name":"n","cniVersion":"9.0.0","plugins":[{"type":"a"}]}', /9\.0\.0.*0\.3\.0/],
    ['{"name":"n","plugins":[{"type":"a","capabilities":[]}]}', /capabilities/],
    // Deeper than what can be written out again, and longer than anyone reads.
    [
      `{"name":"n","plugins":[{"type":"a","x":${'['.repeat(3000)}${']'.repeat(3000)}}]}`,
      /^is nested deeper than 100 l/,
    ],
    [`{"name":"n","cniVersion":[]}`, /^"cniVersion" \(object\) must be one of/],
    [`{"name":"n","cniVersion":"${'9'.repeat(1e5)}"}`, /^.{1,200}$/],
  ];
  for (const [text, message] of wrong) t.throws(() => parseCniConfig(text), { message }, text.slice(0, 200));
});

test('the parser returns or throws an Error', (t) => {
  fc.assert(
    fc.property(fc.oneof(fc.json(), fc.string()), (text) => {
      try {
        return parseCniConfig(text).plugins.length > 0;
      } catch (error) {
        return error instanceof Error && !(error instanceof TypeError);
      }
    }),
    { numRuns: 3000 },
  );
  t.pass();
});

test('a configuration must be a regular file', async (t) => {
  const directory = await temporary(t);
  const pipe = join(directory, '10-a.conflist');
  execFileSync('mkfifo', [pipe]);
  // Opening a FIFO without a writer would wait forever.
  await t.throwsAsync(new CniConfigDirectory(directory, 1).load(), {
    message: /10-a\.conflist: is not a regular file/,
  });
  const logger = { debug() {}, info() {}, warn() {}, error() {}, with: () => logger };
  const template = new ConfTemplate({ template: pipe, configDir: directory, logger });
  await t.throwsAsync(template.apply(['10.0.0.0/24']), { message: /conf_template: .* is not a regular file/ });
});

test('the first file by name is used', async (t) => {
  const directory = await temporary(t);
  const configs = new CniConfigDirectory(directory, 1);
  const names = async () => (await configs.load()).map(({ name }) => name);
  const file = (name: string) => `{"name":"${name}","plugins":[{"type":"bridge"}]}`;
  const error = await t.throwsAsync(configs.load(), { instanceOf: CriError });
  t.true(error?.message.includes(directory));
  await t.throwsAsync(new CniConfigDirectory(`${directory}/none`, 1).load(), { instanceOf: CriError });
  await writeFile(join(directory, '20-b.conflist'), file('b'));
  await writeFile(join(directory, '05-readme.txt'), 'no configuration');
  t.deepEqual(await names(), ['b']);
  await writeFile(join(directory, '10-a.conf'), '{"name":"a","type":"bridge"}');
  t.deepEqual(await names(), ['a']);
  await writeFile(join(directory, '10-a.conf'), '{"name":"c","type":"bridge"}');
  t.deepEqual(await names(), ['c']);
  t.deepEqual(
    (await new CniConfigDirectory(directory, 0).load()).map(({ name }) => name),
    ['c', 'b'],
  );
  t.deepEqual(
    (await new CniConfigDirectory(directory, 2).load()).map(({ name }) => name),
    ['c', 'b'],
  );
  await writeFile(join(directory, '30-c.conflist'), file('c'));
  await t.throwsAsync(new CniConfigDirectory(directory, 0).load(), {
    message: /30-c\.conflist.*"c" is used by another file/,
  });
  await writeFile(join(directory, '10-a.conf'), 'broken');
  await t.throwsAsync(configs.load(), { message: /10-a\.conf/ });
});

test("plugins from the network's directory are added unless disabled", async (t) => {
  const directory = await temporary(t);
  const configs = new CniConfigDirectory(directory, 1);
  const types = async () => (await configs.load())[0]?.plugins.map(({ type }) => type);
  await mkdir(join(directory, 'net'));
  await writeFile(join(directory, 'net/20-b.conf'), '{"type":"b"}');
  await writeFile(join(directory, 'net/10-a.conf'), '{"type":"a"}');
  await writeFile(join(directory, 'net/notes'), 'none');
  await writeFile(join(directory, '1.conflist'), '{"name":"net","plugins":[{"type":"bridge"}]}');
  t.deepEqual(await types(), ['bridge', 'a', 'b']);
  await writeFile(join(directory, '1.conflist'), '{"name":"net"}');
  t.deepEqual(await types(), ['a', 'b']);
  const [list] = await configs.load();
  t.deepEqual(parseCniConfig(JSON.stringify(list)), list, 'what is kept with a pod is whole');
  await writeFile(
    join(directory, '1.conflist'),
    '{"name":"net","loadOnlyInlinedPlugins":true,"plugins":[{"type":"c"}]}',
  );
  t.deepEqual(await types(), ['c']);
  await writeFile(join(directory, '1.conflist'), '{"name":"net","loadOnlyInlinedPlugins":true}');
  await t.throwsAsync(types(), { message: /at least one plugin/ });
  await writeFile(join(directory, '1.conflist'), '{"name":"net"}');
  await writeFile(join(directory, 'net/20-b.conf'), '{}');
  await t.throwsAsync(types(), { message: /net\/20-b\.conf.*"type"/ });
});

const template = JSON.stringify({
  cniVersion: '1.0.0',
  name: 'n',
  plugins: [{ type: 'bridge', ipam: { ranges: '{{PodCIDRRanges}}', routes: '{{Routes}}', first: '{{PodCIDR}}' } }],
});

test('a template gets the ranges of both families', (t) => {
  const [plugin] = parseCniConfig(renderTemplate(template, ['10.1.0.0/24', 'fd00::/64'])).plugins;
  t.deepEqual(plugin?.['ipam'], {
    ranges: [[{ subnet: '10.1.0.0/24' }], [{ subnet: 'fd00::/64' }]],
    routes: [{ dst: '0.0.0.0/0' }, { dst: '::/0' }],
    first: '10.1.0.0/24',
  });
  t.throws(() => renderTemplate(template.replace('{{Routes}}', '{{.Routes}}'), ['10.1.0.0/24']), {
    message: /"\{\{\.Routes\}\}" must be one of \{\{PodCIDR\}\}/,
  });
  t.throws(() => renderTemplate('{"name":"n"}', ['10.1.0.0/24']), { message: /at least one plugin/ });
});

test('the configuration is written once ranges are known', async (t) => {
  const directory = await temporary(t);
  const [configDir, source] = [join(directory, 'net.d'), join(directory, 'template')];
  const logger = { debug() {}, info() {}, warn() {}, error() {}, with: () => logger };
  const conf = new ConfTemplate({ template: source, configDir, logger });
  const target = join(configDir, templatedFile);
  await t.throwsAsync(conf.apply(['10.1.0.0/24']), { message: /network\.conf_template: .*template/ });
  await writeFile(source, template);
  await t.throwsAsync(conf.apply(['10.1.0.0/24']), { message: /cannot write .*net\.d/ });
  await mkdir(configDir);
  await conf.apply([]);
  t.deepEqual(await readdir(configDir), []);
  await conf.apply(['10.1.0.0/24']);
  t.regex(await readFile(target, 'utf8'), /"10\.1\.0\.0\/24"/);
  await conf.apply(['10.2.0.0/24']);
  t.regex(await readFile(target, 'utf8'), /"10\.2\.0\.0\/24"/);
  await writeFile(join(configDir, '20-addon.conflist'), '{}');
  await conf.apply(['10.3.0.0/24']);
  t.regex(await readFile(target, 'utf8'), /"10\.2\.0\.0\/24"/);
});

test('CNI_ARGS name the pod and refuse separators', (t) => {
  t.is(
    cniArgs(request),
    'IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-0;K8S_POD_INFRA_CONTAINER_ID=ab12;K8S_POD_UID=u-1',
  );
  for (const bad of ['a;b', 'a=b', 'a\nb', 'a\0b', 'a\x7f']) {
    for (const field of ['podName', 'podNamespace', 'podUid'] as const) {
      t.throws(() => cniArgs({ ...request, [field]: bad }), { instanceOf: CriError }, `${field} ${bad}`);
    }
  }
  for (const sandboxId of ['', '-a', '.a', 'a/b', 'a b', 'a;b']) {
    t.throws(() => cniArgs({ ...request, sandboxId }), { instanceOf: CriError }, sandboxId);
  }
});

test('a plugin gets only its declared capabilities', (t) => {
  const list = parseCniConfig('{"cniVersion":"1.0.0","name":"n","plugins":[{"type":"a"}]}');
  const plugin = { type: 'a', x: 1, capabilities: { portMappings: true } };
  const values = runtimeConfig(plugin, request);
  t.deepEqual(values, { portMappings: [{ hostPort: 8080, containerPort: 80, protocol: 'tcp' }] });
  t.deepEqual(pluginInput(list, plugin, { prevResult: { ips: [] }, runtimeConfig: values }), {
    type: 'a',
    x: 1,
    name: 'n',
    cniVersion: '1.0.0',
    prevResult: { ips: [] },
    runtimeConfig: values,
  });
  t.deepEqual(pluginInput(list, { type: 'a' }), { type: 'a', name: 'n', cniVersion: '1.0.0' });
  t.deepEqual(runtimeConfig({ type: 'a' }, request), {});
  const every = ['bandwidth', 'dns', 'cgroupPath', 'io.kubernetes.cri.pod-annotations'];
  const capabilities = { ...Object.fromEntries(every.map((name) => [name, true])), portMappings: false };
  t.deepEqual(runtimeConfig({ type: 'a', capabilities }, request), {
    bandwidth: { ingressRate: 1000, ingressBurst: 2_147_483_647 },
    dns: { servers: ['10.96.0.10'], searches: ['svc'], options: [] },
    cgroupPath: '/kubepods/pod1',
    'io.kubernetes.cri.pod-annotations': { a: 'b' },
  });
});

test('addresses come from pod interfaces, without prefix length', (t) => {
  const result = {
    interfaces: [{ name: 'br0' }, { name: 'veth1' }, { name: 'eth0', sandbox: '/run/netns/x' }],
    ips: [
      { address: '10.1.0.1/24', interface: 0 },
      { address: '10.1.0.5/24', interface: 2 },
      { address: 'fd00::5/64' },
    ],
  };
  t.deepEqual(addressesOf(result), ['10.1.0.5', 'fd00::5']);
  for (const odd of [undefined, null, [], {}, { ips: 1 }, { ips: [null, {}, { address: 1 }] }])
    t.deepEqual(addressesOf(odd), []);
});

test('a missing plugin is named with the directories searched', async (t) => {
  const plugins = new CniPlugins(['/none/a', '/none/b'], { fifo: '/dev/null', earlierEnded: Promise.resolve() });
  const error = await t.throwsAsync(plugins.find('bridge'), { instanceOf: CriError });
  t.regex(error?.message ?? '', /"bridge".*\/none\/a, \/none\/b/);
});

test('a configuration above 1 MiB is refused', async (t) => {
  const directory = await temporary(t);
  const file = join(directory, '10-large.conflist');
  await writeFile(file, '{}');
  await truncate(file, 1_048_577);
  await t.throwsAsync(new CniConfigDirectory(directory, 1).load(), { instanceOf: CriError, message: /is larger/ });
});
