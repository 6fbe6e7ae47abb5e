import test from 'ava';
import type { ExecutionContext } from 'ava';
import { chmod, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CriError, StatusCode } from '../../src/core/model/errors.ts';
import type { NetworkAttachment, NetworkRequest } from '../../src/core/model/network.ts';
import { CniNetwork } from '../../src/integrations/cni/cni-network.ts';
import { run } from '../../src/utils/process/run.ts';
import { testCgroup } from './runner-fixture.ts';

let subnets = 0;

/** A bridge network by Debian's plugins, and network namespaces; all of it goes with the test. */
class CniFixture {
  readonly folder: string;
  readonly bridge: string;
  readonly subnet: string;
  readonly network: CniNetwork;
  readonly warnings: string[] = [];

  private constructor(folder: string) {
    subnets += 1;
    this.folder = folder;
    this.bridge = `cnitest${String(subnets)}`;
    this.subnet = `10.77.${String(subnets)}`;
    const note = (message: string) => void this.warnings.push(message);
    const logger = { debug: note, info: note, warn: note, error: note, with: () => logger };
    const pluginDirs = [join(folder, 'bin'), '/usr/lib/cni'];
    this.network = new CniNetwork({ configDir: join(folder, 'net.d'), pluginDirs, logger });
  }

  static async make(t: ExecutionContext): Promise<CniFixture> {
    if (testCgroup === undefined) throw new Error('run this below test/sandbox');
    const folder = await mkdtemp('/tmp/cni-');
    const fixture = new CniFixture(folder);
    await mkdir(join(folder, 'net.d'));
    await mkdir(join(folder, 'bin'));
    await fixture.configure([{ type: 'portmap', capabilities: { portMappings: true } }]);
    t.teardown(async () => {
      await run('ip', ['link', 'delete', fixture.bridge]).catch(() => undefined);
      await rm(folder, { recursive: true, force: true });
    });
    return fixture;
  }

  async configure(more: object[]): Promise<void> {
    const ipam = {
      type: 'host-local',
      dataDir: join(this.folder, 'leases'),
      ranges: [[{ subnet: `${this.subnet}.0/24` }]],
      routes: [{ dst: '0.0.0.0/0' }],
    };
    const bridge = { type: 'bridge', bridge: this.bridge, isGateway: true, ipMasq: true, ipam };
    const list = { cniVersion: '1.0.0', name: 'test', plugins: [bridge, ...more] };
    await writeFile(join(this.folder, 'net.d/10-test.conflist'), JSON.stringify(list));
  }

  /** A plugin of the test's own. */
  async plugin(name: string, script: string): Promise<void> {
    const path = join(this.folder, 'bin', name);
    await writeFile(path, `#!/bin/sh\n${script}\n`);
    await chmod(path, 0o755);
  }

  async request(t: ExecutionContext, name: string): Promise<NetworkRequest & { netns: string }> {
    const namespace = `${this.bridge}-${name}`;
    await run('ip', ['netns', 'add', namespace]);
    t.teardown(() => run('ip', ['netns', 'delete', namespace]).catch(() => undefined));
    return {
      sandboxId: name.repeat(8),
      podName: name,
      podNamespace: 'default',
      podUid: `uid-${name}`,
      netns: `/run/netns/${namespace}`,
      portMappings: [],
    };
  }

  async leases(): Promise<string[]> {
    const names = await readdir(join(this.folder, 'leases/test')).catch(() => []);
    return names.filter((name) => name.startsWith('10.'));
  }

  async attach(request: NetworkRequest & { netns: string }): Promise<NetworkAttachment> {
    return this.network.attach(request, () => Promise.resolve());
  }
}

const links = async (netns: string) => (await run('nsenter', [`--net=${netns}`, 'ip', '-br', 'addr'])).stdout;
const rules = async () => (await run('iptables-save', [])).stdout;

test.serial('attach gives an address and a host port, detach gives both back, twice without error', async (t) => {
  const fixture = await CniFixture.make(t);
  t.deepEqual(await fixture.network.readiness(), { ready: true, reason: '', message: '' });
  const before = await rules();
  const request = {
    ...(await fixture.request(t, 'pod')),
    portMappings: [{ hostIp: '', hostPort: 18_080, containerPort: 80, protocol: 'tcp' as const }],
  };
  const intents: NetworkAttachment[] = [];
  const attachment = await fixture.network.attach(request, async (intent) => {
    t.deepEqual(await fixture.leases(), [], 'nothing has been done when the intent is told');
    intents.push(intent);
  });
  t.is(intents.length, 1);
  t.deepEqual(attachment.ips, [`${fixture.subnet}.2`]);
  t.regex(await links(request.netns), new RegExp(`^eth0@\\S+ +UP +${fixture.subnet}\\.2/24`, 'm'));
  t.regex(await rules(), /--dport 18080 .*DNAT/);
  t.deepEqual(await fixture.leases(), [`${fixture.subnet}.2`]);
  await fixture.network.detach(request, attachment);
  t.notRegex(await links(request.netns), /eth0/);
  t.deepEqual(await fixture.leases(), []);
  t.notRegex(await rules(), /18080|"podpod/);
  t.notRegex(before, /18080/);
  await fixture.network.detach(request, attachment);
});

test.serial('detach works when the namespace is gone, and by the intent alone', async (t) => {
  const fixture = await CniFixture.make(t);
  const first = await fixture.request(t, 'one');
  const attachment = await fixture.attach(first);
  await run('ip', ['netns', 'delete', first.netns.slice('/run/netns/'.length)]);
  await fixture.network.detach(first, attachment);
  await fixture.network.detach({ ...first, netns: undefined }, attachment);
  t.deepEqual(await fixture.leases(), []);

  const second = await fixture.request(t, 'two');
  let intent: NetworkAttachment | undefined;
  await fixture.network.attach(second, (given) => {
    intent = given;
    return Promise.resolve();
  });
  t.true(intent !== undefined);
  if (intent !== undefined) await fixture.network.detach(second, intent);
  t.deepEqual(await fixture.leases(), []);
  t.notRegex(await links(second.netns), /eth0/);
});

test.serial('a chain that fails in the middle is undone, and the plugin is quoted', async (t) => {
  const fixture = await CniFixture.make(t);
  const answer = '{"cniVersion":"1.0.0","code":11,"msg":"no luck today","details":"try tomorrow"}';
  await fixture.plugin('unlucky', `[ "$CNI_COMMAND" = DEL ] || { echo '${answer}'; exit 1; }`);
  await fixture.configure([{ type: 'unlucky' }]);
  const request = await fixture.request(t, 'pod');
  const error = await t.throwsAsync(fixture.attach(request), { instanceOf: CriError });
  t.is(error?.message, 'CNI plugin unlucky failed to ADD: no luck today; try tomorrow (code 11)');
  t.deepEqual(await fixture.leases(), []);
  t.notRegex(await links(request.netns), /eth0/);
  t.deepEqual(fixture.warnings, []);
});

test.serial(
  'a DEL that fails is told, the other plugins are called nevertheless, and it can be repeated',
  async (t) => {
    const fixture = await CniFixture.make(t);
    const flag = join(fixture.folder, 'broken');
    await fixture.plugin('moody', `cat >/dev/null; [ ! -e ${flag} ] || { echo not json; exit 1; }`);
    await fixture.configure([{ type: 'moody' }]);
    const request = await fixture.request(t, 'pod');
    const attachment = await fixture.attach(request);
    await writeFile(flag, '');
    const error = await t.throwsAsync(fixture.network.detach(request, attachment), { instanceOf: CriError });
    t.is(error?.code, StatusCode.UNAVAILABLE);
    t.regex(error?.message ?? '', /moody failed to DEL/);
    t.deepEqual(await fixture.leases(), []);
    await rm(flag);
    await rm(join(fixture.folder, 'net.d'), { recursive: true });
    await fixture.network.detach(request, attachment);
  },
);

test.serial('plugins see the CNI variables, PATH, and nothing else', async (t) => {
  const fixture = await CniFixture.make(t);
  const seen = join(fixture.folder, 'seen');
  await fixture.plugin('spy', `[ "$CNI_COMMAND" = DEL ] || { env | sort >${seen}.env; cat >${seen}.json; }`);
  await fixture.configure([{ type: 'spy', capabilities: { bandwidth: true } }]);
  process.env['SECRET'] = 'secret';
  t.teardown(() => delete process.env['SECRET']);
  const request = { ...(await fixture.request(t, 'pod')), bandwidth: { egressRate: 1_000_000 } };
  await fixture.network.detach(request, await fixture.attach(request));
  const names = (await readFile(`${seen}.env`, 'utf8')).split('\n').map((line) => line.split('=')[0] ?? '');
  const cni = ['ARGS', 'COMMAND', 'CONTAINERID', 'IFNAME', 'NETNS', 'PATH'].map((name) => `CNI_${name}`);
  t.deepEqual(
    names.filter((name) => !['', '_', 'PWD', 'SHLVL', 'OLDPWD'].includes(name)),
    [...cni, 'PATH'],
  );
  const input = JSON.parse(await readFile(`${seen}.json`, 'utf8')) as Record<string, unknown>;
  t.like(input, { name: 'test', cniVersion: '1.0.0', runtimeConfig: { bandwidth: { egressRate: 1_000_000 } } });
  t.like(input['prevResult'], { ips: [{ address: `${fixture.subnet}.2/24` }] });
});

test.serial('without a configuration or a plugin the network is not ready, and nothing is begun', async (t) => {
  const fixture = await CniFixture.make(t);
  await fixture.configure([{ type: 'missing' }]);
  const { ready, reason, message } = await fixture.network.readiness();
  t.deepEqual([ready, reason], [false, 'NetworkPluginNotReady']);
  t.regex(message, /"missing".*\/usr\/lib\/cni/);
  const request = await fixture.request(t, 'pod');
  await t.throwsAsync(
    fixture.network.attach(request, () => Promise.reject(new Error('told'))),
    { message: /missing/ },
  );
  await rm(join(fixture.folder, 'net.d/10-test.conflist'));
  t.regex((await fixture.network.readiness()).message, /no CNI configuration in .*net\.d/);
  t.deepEqual(await fixture.leases(), []);
});

test.serial('20 pods at once get 20 addresses and give all back', async (t) => {
  const fixture = await CniFixture.make(t);
  const requests = await Promise.all(Array.from({ length: 20 }, (_, index) => fixture.request(t, `p${String(index)}`)));
  const attachments = await Promise.all(requests.map((request) => fixture.attach(request)));
  t.is(new Set(attachments.flatMap(({ ips }) => ips)).size, 20);
  await Promise.all(
    requests.map((request, index) => fixture.network.detach(request, attachments[index] ?? { ips: [], networks: [] })),
  );
  t.deepEqual(await fixture.leases(), []);
  const { stdout } = await run('ip', ['-br', 'link', 'show', 'type', 'veth']);
  t.is(stdout, '');
});
