import test from 'ava';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CriError, StatusCode } from '../../src/core/model/errors.ts';
import type { NetworkAttachment } from '../../src/core/model/network.ts';
import { run } from '../../src/host/processes/run.ts';
import { CniFixture } from './cni-fixture.ts';
import { eventually } from '../lib/eventually.ts';

const links = async (netns: string) => (await run('nsenter', [`--net=${netns}`, 'ip', '-br', 'addr'])).stdout;
const rules = async () => (await run('iptables-save', [])).stdout;

test.serial('detach releases addresses and host ports, also repeated', async (t) => {
  const fixture = await CniFixture.make(t);
  t.deepEqual(await fixture.network.readiness(), { ready: true, reason: '', message: '' });
  const before = await rules();
  const request = {
    ...(await fixture.request(t, 'pod')),
    portMappings: [{ hostIp: '', hostPort: 18_080, containerPort: 80, protocol: 'tcp' as const }],
  };
  const intents: NetworkAttachment[] = [];
  const attachment = await fixture.network.attach(request, async (intent) => {
    t.deepEqual(await fixture.leases(), [], 'the intent is recorded before anything is done');
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

test.serial('detach works without the namespace or without the result', async (t) => {
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

test.serial('a failed plugin chain is rolled back and quoted', async (t) => {
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

test.serial('a result of no use fails and is rolled back', async (t) => {
  const cni = await CniFixture.make(t);
  const deep = join(cni.directory, 'deep.json');
  await writeFile(deep, `{"x":${'['.repeat(5000)}${']'.repeat(5000)}}`);
  await cni.plugin('deep', `[ "$CNI_COMMAND" != ADD ] || cat ${deep}`);
  await cni.plugin('words', '[ "$CNI_COMMAND" != ADD ] || echo text');
  for (const [type, problem] of [
    ['deep', 'is nested deeper than 100 levels'],
    ['words', 'is not JSON'],
  ] as const) {
    await cni.configure([{ type }]);
    const error = await t.throwsAsync<CriError>(cni.attach(await cni.request(t, type)));
    t.like(error, { code: StatusCode.UNAVAILABLE, message: `the result of CNI plugin ${type} ${problem}` });
    t.deepEqual(await cni.leases(), []);
  }
});

test.serial('a failed DEL is reported and can be repeated', async (t) => {
  const fixture = await CniFixture.make(t);
  const flag = join(fixture.directory, 'broken');
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
  await rm(join(fixture.directory, 'net.d'), { recursive: true });
  await fixture.network.detach(request, attachment);
});

test.serial('plugins get only the CNI variables and PATH', async (t) => {
  const fixture = await CniFixture.make(t);
  const seen = join(fixture.directory, 'seen');
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

test.serial('without configuration or plugin the network is not ready', async (t) => {
  const fixture = await CniFixture.make(t);
  await fixture.configure([{ type: 'missing' }]);
  const { ready, reason, message } = await fixture.network.readiness();
  t.deepEqual([ready, reason], [false, 'NetworkPluginNotReady']);
  t.regex(message, /"missing".*\/usr\/lib\/cni/);
  const request = await fixture.request(t, 'pod');
  await t.throwsAsync(
    fixture.network.attach(request, () => Promise.reject(new Error('not recorded'))),
    { message: /missing/ },
  );
  await rm(join(fixture.directory, 'net.d/10-test.conflist'));
  t.regex((await fixture.network.readiness()).message, /no CNI configuration in .*net\.d/);
  t.deepEqual(await fixture.leases(), []);
});

test.serial('20 concurrent pods get 20 addresses and release them', async (t) => {
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

test.serial('a pod gets addresses and ports of both families', async (t) => {
  const fixture = await CniFixture.make(t);
  const six = `fd77:${String(process.pid)}::/64`;
  await fixture.configure(
    [
      { type: 'portmap', capabilities: { portMappings: true } },
      { type: 'bandwidth', capabilities: { bandwidth: true } },
    ],
    [`${fixture.subnet}.0/24`, six],
  );
  const request = {
    ...(await fixture.request(t, 'dual')),
    portMappings: [
      { hostIp: '127.0.0.1', hostPort: 18_081, containerPort: 80, protocol: 'tcp' as const },
      { hostIp: '::1', hostPort: 18_082, containerPort: 81, protocol: 'udp' as const },
    ],
    bandwidth: { ingressRate: 8_000_000, egressRate: 16_000_000 },
  };
  const attachment = await fixture.attach(request);
  t.is(attachment.ips.length, 2);
  t.is(attachment.ips[0], `${fixture.subnet}.2`);
  t.regex(attachment.ips[1] ?? '', /^fd77:/);
  const addresses = await links(request.netns);
  for (const ip of attachment.ips) t.true(addresses.includes(ip), addresses);
  t.regex(await rules(), /-d 127\.0\.0\.1\/32 -p tcp .*--dport 18081 .*DNAT --to-destination 10\.77\.\d+\.2:80/);
  t.notRegex(await rules(), /18082 .*DNAT/, 'a port of the other family');
  t.regex(
    (await run('ip6tables-save', [])).stdout,
    /-d ::1\/128 -p udp .*--dport 18082 .*DNAT --to-destination \[fd77:.*\]:81/,
  );
  t.regex((await run('tc', ['qdisc'])).stdout, /tbf .*rate 8Mbit/);
  await fixture.network.detach(request, attachment);
  t.notRegex(await rules(), /18081/);
  t.notRegex((await run('ip6tables-save', [])).stdout, /18082/);
  t.notRegex((await run('tc', ['qdisc'])).stdout, /tbf/);
  t.deepEqual(await fixture.leases(), []);
});

test.serial('a pod joins every network; only one provides addresses', async (t) => {
  const fixture = await CniFixture.make(t);
  const range = fixture.subnet.replace('77', '78');
  const ipam = {
    type: 'host-local',
    dataDir: join(fixture.directory, 'leases'),
    ranges: [[{ subnet: `${range}.0/24` }]],
  };
  await fixture.list('20-second', { cniVersion: '0.3.1', name: 'second', plugins: [{ type: 'ptp', ipam }] });
  await fixture.list('30-third', { cniVersion: '1.1.0', name: 'third', plugins: [fixture.recorder()] });
  const request = await fixture.request(t, 'multi');
  const steps: string[][] = [];
  const attachment = await fixture.network.attach(request, async ({ networks }) => {
    steps.push(networks.map(({ ifName, result }) => `${ifName} ${result === '' ? 'begun' : 'done'}`));
  });
  t.deepEqual(steps, [['eth0 begun'], ['eth0 done', 'eth1 begun'], ['eth0 done', 'eth1 done', 'eth2 begun']]);
  t.deepEqual(attachment.ips, [`${fixture.subnet}.2`]);
  t.deepEqual(
    attachment.networks.map(({ ifName, conflist }) => [ifName, (JSON.parse(conflist) as { name: string }).name]),
    [
      ['eth0', 'test'],
      ['eth1', 'second'],
      ['eth2', 'third'],
    ],
  );
  t.regex(await links(request.netns), new RegExp(`^eth1@\\S+ +UP +${range}\\.2/24`, 'm'));
  t.is((await fixture.calls())[0]?.environment['CNI_IFNAME'], 'eth2');
  // A failed network does not keep the others attached; a later call detaches it.
  await fixture.fail('DEL', { code: 100, msg: 'not now' });
  await t.throwsAsync(fixture.network.detach(request, attachment), {
    message: /network third: .*not now \(code 100\)/,
  });
  t.notRegex(await links(request.netns), /eth[01]/);
  t.deepEqual(await fixture.leases('second'), []);
  await fixture.fail('DEL');
  await rm(join(fixture.directory, 'net.d'), { recursive: true });
  await fixture.network.detach(request, attachment);
});

test.serial('when a later network fails, earlier ones are detached', async (t) => {
  const fixture = await CniFixture.make(t);
  await fixture.list('20-second', { cniVersion: '1.1.0', name: 'second', plugins: [fixture.recorder()] });
  await fixture.fail('ADD', { code: 100, msg: 'full' });
  const request = await fixture.request(t, 'pod');
  await t.throwsAsync(fixture.attach(request), { message: /recorder failed to ADD: full/ });
  t.deepEqual(await fixture.leases(), []);
  t.deepEqual(
    (await fixture.calls()).map(({ command }) => command),
    ['ADD', 'DEL'],
  );
});

test.serial('STATUS of version 1.1 decides readiness', async (t) => {
  const fixture = await CniFixture.make(t);
  await fixture.list('20-old', { cniVersion: '1.0.0', name: 'old', plugins: [fixture.recorder()] });
  t.true((await fixture.network.readiness()).ready);
  t.deepEqual(await fixture.calls(), []);
  const plugins = [fixture.recorder({ name: 'x', capabilities: { portMappings: true } })];
  await fixture.list('20-old', { cniVersion: '1.0.0', cniVersions: ['1.1.0'], name: 'new', plugins });
  t.true((await fixture.network.readiness()).ready);
  const journal = join(fixture.directory, 'journal');
  t.deepEqual(await fixture.calls(), [
    {
      command: 'STATUS',
      environment: { CNI_COMMAND: 'STATUS' },
      input: { type: 'recorder', name: 'new', cniVersion: '1.1.0', journal },
    },
  ]);
  await fixture.fail('STATUS', { code: 50, msg: 'the daemon is away' });
  t.deepEqual(await fixture.network.readiness(), {
    ready: false,
    reason: 'NetworkPluginNotReady',
    message: 'CNI plugin recorder failed to STATUS: the daemon is away (code 50)',
  });
});

test.serial('DEL ends a CHECK of the same pod', async (t) => {
  const fixture = await CniFixture.make(t);
  await fixture.configure([fixture.recorder(), fixture.recorder()]);
  const request = await fixture.request(t, 'pod');
  const other = await fixture.request(t, 'other');
  const attachment = await fixture.attach(request);
  const otherAttachment = await fixture.attach(other);
  const hang = join(fixture.directory, 'journal.CHECK.hang');
  await writeFile(hang, '');
  await fixture.calls();
  const checking = fixture.network.check(request, attachment);
  checking.catch(() => undefined);
  const commands: string[] = [];
  await eventually('the first CHECK', async () => {
    commands.push(...(await fixture.calls()).map(({ command }) => command));
    return commands.length > 0;
  });
  await fixture.network.detach(other, otherAttachment);
  await fixture.network.detach(request, attachment);
  await t.throwsAsync(checking, { message: /the pod is detached from its networks/ });
  commands.push(...(await fixture.calls()).map(({ command }) => command));
  t.deepEqual(commands, ['CHECK', 'DEL', 'DEL', 'DEL', 'DEL'], 'the second plugin is not asked');
});

test.serial('CHECK gets the result of ADD where permitted', async (t) => {
  const fixture = await CniFixture.make(t);
  await fixture.configure([fixture.recorder()]);
  await fixture.list('20-old', { cniVersion: '0.3.1', name: 'old', plugins: [fixture.recorder()] });
  await fixture.list('30-no', { cniVersion: '1.0.0', name: 'no', disableCheck: true, plugins: [fixture.recorder()] });
  const request = await fixture.request(t, 'pod');
  const attachment = await fixture.attach(request);
  await fixture.calls();
  await fixture.network.check(request, attachment);
  const [call, ...others] = await fixture.calls();
  t.deepEqual(others, []);
  t.like(call, { command: 'CHECK', environment: { CNI_IFNAME: 'eth0', CNI_CONTAINERID: request.sandboxId } });
  t.like(call?.input['prevResult'], { ips: [{ address: `${fixture.subnet}.2/24` }] });
  await run('nsenter', [`--net=${request.netns}`, 'ip', 'addr', 'flush', 'dev', 'eth0']);
  await t.throwsAsync(fixture.network.check(request, attachment), { message: /bridge failed to CHECK/ });
  await fixture.network.detach(request, attachment);
  const deletions = (await fixture.calls()).filter(({ command }) => command === 'DEL');
  const calls = deletions.map(({ input }) => [input['name'], 'prevResult' in input]);
  t.deepEqual(calls, [
    ['no', true],
    ['old', false],
    ['test', true],
  ]);
});

test.serial('GC gets all valid attachments and waits for ADD', async (t) => {
  const fixture = await CniFixture.make(t);
  await fixture.list('20-gc', { cniVersion: '1.1.0', name: 'gc', plugins: [fixture.recorder()] });
  await fixture.list('30-no', { cniVersion: '1.1.0', name: 'no', disableGC: true, plugins: [fixture.recorder()] });
  await fixture.list('40-old', { cniVersion: '1.0.0', name: 'old', plugins: [fixture.recorder()] });
  const requests = await Promise.all(['one', 'two'].map((name) => fixture.request(t, name)));
  const kept = new Map<string, NetworkAttachment>();
  const attaching = requests.map((request) =>
    fixture.network.attach(request, (soFar) => {
      kept.set(request.sandboxId, soFar);
      return Promise.resolve();
    }),
  );
  const collecting = fixture.network.collectGarbage(() =>
    [...kept].map(([sandboxId, attachment]) => ({ sandboxId, attachment })),
  );
  const late = { ...(await fixture.request(t, 'three')) };
  const attachedLate = fixture.attach(late);
  await Promise.all([...attaching, collecting, attachedLate]);
  const calls = await fixture.calls();
  const collections = calls.filter(({ command }) => command === 'GC');
  t.is(collections.length, 1);
  t.deepEqual(collections[0]?.environment, { CNI_COMMAND: 'GC' });
  const valid = collections[0]?.input['cni.dev/valid-attachments'] as { containerID: string }[];
  const expected = requests.map(({ sandboxId }) => ({ containerID: sandboxId, ifname: 'eth1' }));
  t.deepEqual(
    valid.sort((a, b) => a.containerID.localeCompare(b.containerID)),
    expected.sort((a, b) => a.containerID.localeCompare(b.containerID)),
  );
  const order = calls.map(({ command, environment }) => `${command} ${environment['CNI_CONTAINERID'] ?? ''}`);
  t.true(order.indexOf('GC ') < order.indexOf(`ADD ${late.sandboxId}`), 'the later ADD waited for GC');
  await fixture.fail('GC', { code: 100, msg: 'cannot' });
  await t.throwsAsync(
    fixture.network.collectGarbage(() => []),
    { message: /recorder failed to GC: cannot/ },
  );
});
