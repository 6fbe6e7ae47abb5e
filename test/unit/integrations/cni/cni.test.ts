import test from 'ava';
import fc from 'fast-check';
import { mkdtemp, rm, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CriError } from '../../../../src/core/model/errors.ts';
import type { NetworkRequest } from '../../../../src/core/model/network.ts';
import { CniConfigFolder, parseCniConfig } from '../../../../src/integrations/cni/cni-config.ts';
import { CniPlugins } from '../../../../src/integrations/cni/cni-plugin.ts';
import { cniArgs, pluginInput } from '../../../../src/integrations/cni/cni-request.ts';
import { addressesOf } from '../../../../src/integrations/cni/cni-result.ts';

const request: NetworkRequest = {
  sandboxId: 'ab12',
  podName: 'web-0',
  podNamespace: 'default',
  podUid: 'u-1',
  netns: '/run/netns/x',
  portMappings: [{ hostIp: '', hostPort: 8080, containerPort: 80, protocol: 'tcp' }],
  bandwidth: { ingressRate: 1000 },
};

test('the configuration: a list, or a single plugin as a list of one', (t) => {
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

test('a wrong configuration is refused with what is wrong', (t) => {
  const wrong: [string, RegExp][] = [
    ['[]', /no JSON object/],
    ['{', /JSON/],
    ['{"plugins":[{"type":"a"}]}', /"name"/],
    ['{"name":"../x","plugins":[{"type":"a"}]}', /"name"/],
    ['{"name":"n","plugins":[]}', /at least one/],
    ['{"name":"n","plugins":[{}]}', /"type"/],
    ['{"name":"n","plugins":[{"type":"../../bin/sh"}]}', /"type"/],
    ['{"name":"n","cniVersion":"9.0.0","plugins":[{"type":"a"}]}', /9\.0\.0.*0\.3\.0/],
    ['{"name":"n","plugins":[{"type":"a","capabilities":[]}]}', /capabilities/],
  ];
  for (const [text, message] of wrong) t.throws(() => parseCniConfig(text), { message }, text);
});

test('no text makes the parser do anything but return or throw an Error', (t) => {
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

test('the first file by name is used, read anew when changed, and not skipped when wrong', async (t) => {
  const folder = await mkdtemp('/tmp/cni-');
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const configs = new CniConfigFolder(folder);
  const file = (name: string) => `{"name":"${name}","plugins":[{"type":"bridge"}]}`;
  const error = await t.throwsAsync(configs.load(), { instanceOf: CriError });
  t.true(error?.message.includes(folder));
  await t.throwsAsync(new CniConfigFolder(`${folder}/none`).load(), { instanceOf: CriError });
  await writeFile(join(folder, '20-b.conflist'), file('b'));
  await writeFile(join(folder, '05-readme.txt'), 'no configuration');
  t.is((await configs.load()).name, 'b');
  t.is(await configs.load(), await configs.load(), 'unchanged, it is not parsed again');
  await writeFile(join(folder, '10-a.conf'), '{"name":"a","type":"bridge"}');
  t.is((await configs.load()).name, 'a');
  await writeFile(join(folder, '10-a.conf'), '{"name":"c","type":"bridge"}');
  await utimes(join(folder, '10-a.conf'), 1, 1);
  t.is((await configs.load()).name, 'c');
  await writeFile(join(folder, '10-a.conf'), 'broken');
  await t.throwsAsync(configs.load(), { message: /10-a\.conf/ });
});

test('CNI_ARGS name the pod; a value that would end its entry is refused', (t) => {
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

test('a plugin gets the values of the capabilities it declares, and no other', (t) => {
  const list = parseCniConfig('{"cniVersion":"1.0.0","name":"n","plugins":[{"type":"a"}]}');
  const input = (capabilities?: Record<string, boolean>) => {
    return pluginInput(list, { type: 'a', x: 1, ...(capabilities && { capabilities }) }, request, { ips: [] });
  };
  t.deepEqual(input(), { type: 'a', x: 1, name: 'n', cniVersion: '1.0.0', prevResult: { ips: [] } });
  t.deepEqual(input({ portMappings: true })['runtimeConfig'], {
    portMappings: [{ hostPort: 8080, containerPort: 80, protocol: 'tcp' }],
  });
  t.deepEqual(input({ bandwidth: true, portMappings: false })['runtimeConfig'], {
    bandwidth: { ingressRate: 1000, ingressBurst: 2_147_483_647 },
  });
});

test('addresses: those of interfaces in the pod, without prefix length', (t) => {
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

test('a missing plugin is named together with the folders searched', async (t) => {
  const error = await t.throwsAsync(new CniPlugins(['/none/a', '/none/b']).find('bridge'), { instanceOf: CriError });
  t.regex(error?.message ?? '', /"bridge".*\/none\/a, \/none\/b/);
});
