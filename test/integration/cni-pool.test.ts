import test from 'ava';
import type { ExecutionContext } from 'ava';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ListPodSandboxRequest, PodSandboxState, RuntimeServiceService } from '../../api/gen/cri.ts';
import type { NetworkAttachment, NetworkRequest } from '../../src/core/model/network.ts';
import { run } from '../../src/host/processes/run.ts';
import type { CniNetwork } from '../../src/integrations/cni/cni-network.ts';
import { eventually } from '../lib/eventually.ts';
import { CniFixture } from './cni-fixture.ts';
import { inventory, leftovers } from './leaks.ts';
import { ServerFixture } from './server-fixture.ts';

const links = async (netns: string) => (await run('nsenter', [`--net=${netns}`, 'ip', '-br', 'addr'])).stdout;
const rules = async () => (await run('iptables-save', [])).stdout;
const done = () => Promise.resolve();

/** A network whose pool is kept, as a server does. */
class Pooled {
  readonly fixture: CniFixture;
  readonly network: CniNetwork;
  readonly claimed = new Set<string>();
  /** Pending: pods start or stop. */
  quiet: Promise<void> = Promise.resolve();
  readonly #end = new AbortController();
  readonly #keeping: Promise<void>;

  constructor(t: ExecutionContext, fixture: CniFixture, size: number, claimed: readonly string[] = []) {
    this.fixture = fixture;
    this.network = fixture.another(size);
    for (const id of claimed) this.claimed.add(id);
    const quiet = async (_: number, signal: AbortSignal) => {
      const over = new Promise((resolve) => {
        signal.addEventListener('abort', resolve);
        if (signal.aborted) resolve(undefined);
      });
      await Promise.race([this.quiet, over]);
    };
    const parts = { isClaimed: (id: string) => this.claimed.has(id), quiet };
    this.#keeping = this.network.pool.keep(parts, this.#end.signal);
    t.teardown(() => this.clear());
  }

  /** Ends the server. */
  async end(): Promise<void> {
    this.#end.abort(new Error('over'));
    await this.#keeping;
  }

  async clear(): Promise<void> {
    await this.end();
    // A server that ends leaves a plugin that runs to the next one, which is another process.
    await eventually('the end of running plugins', () => this.figures.creating === 0);
    await this.network.pool.clear(() => false);
  }

  get figures() {
    return this.network.pool.figures();
  }

  async ready(count: number): Promise<void> {
    await eventually(`${String(count)} networks`, () => this.figures.ready === count && this.figures.releasing === 0);
  }

  /** A pod on a prepared network, with its own name of the namespace. */
  async pod(t: ExecutionContext, request: NetworkRequest): Promise<NetworkAttachment & { netns: string }> {
    const claimed = await this.network.pool.claim(request);
    if (claimed?.prepared === undefined) throw new Error('none was ready');
    const { id, namespace } = claimed.prepared;
    this.claimed.add(id);
    t.teardown(() => this.network.detach({ ...request, netns: namespace }, claimed));
    const attachment = await this.network.attach({ ...request, netns: namespace }, done, undefined, claimed);
    return { ...attachment, netns: namespace };
  }

  /** Names of records and namespaces. */
  async files(): Promise<string[]> {
    const { directory } = this.fixture;
    const lists = ['networks', 'pins'].map((name) => readdir(join(directory, name)));
    return (await Promise.all(lists)).flat();
  }
}

function pod(name: string, more: Partial<NetworkRequest> = {}): NetworkRequest {
  const sandboxId = name.padEnd(64, '0');
  const base = { podName: name, podNamespace: 'default', podUid: name, portMappings: [], cgroupParent: '' };
  return { sandboxId, netns: undefined, annotations: {}, ...base, ...more };
}

const port = (hostPort: number) => [{ hostIp: '', hostPort, containerPort: 80, protocol: 'tcp' as const }];

async function pooled(t: ExecutionContext, size: number): Promise<Pooled> {
  const fixture = await CniFixture.make(t);
  return new Pooled(t, fixture, size);
}

test.serial('a claimed network gets host ports; its release leaves nothing', async (t) => {
  const before = await rules();
  const pool = await pooled(t, 1);
  await pool.ready(1);
  t.deepEqual(await pool.fixture.leases(), [`${pool.fixture.subnet}.2`]);
  const request = pod('web', { portMappings: port(18_081) });
  const { netns, ...attachment } = await pool.pod(t, request);
  t.deepEqual(attachment.ips, [`${pool.fixture.subnet}.2`]);
  t.regex(await links(netns), new RegExp(`^eth0@\\S+ +UP +${pool.fixture.subnet}\\.2/24`, 'm'));
  t.regex(await rules(), /--dport 18081 .*DNAT/);
  await pool.ready(1);
  t.like(pool.figures, { claimed: 1, missed: 0 });

  const busy = Promise.withResolvers<undefined>();
  pool.quiet = busy.promise;
  await pool.network.detach({ ...request, netns }, attachment);
  t.notRegex(await rules(), /18081/, 'another pod may map the port');
  t.true((await pool.fixture.leases()).includes(`${pool.fixture.subnet}.2`), 'no other pod gets the address');
  await pool.network.detach({ ...request, netns }, attachment);
  busy.resolve(undefined);
  await pool.ready(1);
  t.deepEqual(await pool.fixture.leases(), [`${pool.fixture.subnet}.3`]);
  await pool.clear();
  t.deepEqual(await pool.fixture.leases(), []);
  t.deepEqual(await pool.files(), []);
  const ofPods = (text: string) => text.split('\n').filter((line) => /CNI-[0-9a-f]{10}/.test(line)).length;
  t.is(ofPods(await rules()), ofPods(before));
});

test.serial('a pod without host ports or limits has only the plugins it needs', async (t) => {
  const fixture = await CniFixture.make(t);
  const bandwidth = { type: 'bandwidth', capabilities: { bandwidth: true } };
  await fixture.configure([{ type: 'portmap', capabilities: { portMappings: true } }, bandwidth]);
  const pool = new Pooled(t, fixture, 2);
  await pool.ready(2);
  const types = ({ networks: [network] }: NetworkAttachment) =>
    (JSON.parse(network?.conflist ?? '') as { plugins: { type: string }[] }).plugins.map(({ type }) => type);
  const { netns, ...plain } = await pool.pod(t, pod('plain'));
  t.deepEqual(types(plain), ['bridge']);
  await pool.network.check({ ...pod('plain'), netns }, plain);
  const claimed = await pool.network.pool.claim(pod('slow', { bandwidth: { ingressRate: 1e6 } }));
  t.deepEqual(claimed && types(claimed), ['bridge', 'bandwidth']);
});

test.serial('networks of an earlier configuration are released', async (t) => {
  const pool = await pooled(t, 2);
  const { fixture, network } = pool;
  await pool.ready(2);
  await fixture.configure([], undefined, { name: 'renamed' });
  t.like(await network.readiness(), { ready: true });
  await pool.ready(2);
  t.deepEqual([(await fixture.leases('renamed')).length, await fixture.leases()], [2, []]);
  const { networks } = await pool.pod(t, pod('new'));
  t.regex(networks[0]?.conflist ?? '', /"name":"renamed"/);

  await fixture.configure([fixture.recorder()]);
  t.is(await network.pool.claim(pod('other')), undefined, 'the recorder may look at the pod');
  await pool.ready(0);
  const { Prepared: told } = await network.describe();
  t.like(told, { Size: 2, Problem: 'plugin recorder of network test may look at the pod' });
});

test.serial('the next server adopts networks, or releases them', async (t) => {
  const first = await pooled(t, 2);
  const { fixture } = first;
  await first.ready(2);
  const claimed = await first.network.pool.claim(pod('kept'));
  const id = claimed?.prepared?.id ?? '';
  first.quiet = new Promise(() => undefined);
  await first.end();
  const before = await fixture.leases();

  const second = new Pooled(t, fixture, 2, [id]);
  await second.ready(2);
  t.is((await fixture.leases()).length, 3);
  t.true((await fixture.leases()).join().startsWith(before.join()), 'both are as they were');
  await second.end();

  const third = new Pooled(t, fixture, 0, [id]);
  await third.ready(0);
  await eventually('one lease', async () => (await fixture.leases()).length === 1);
  t.true(claimed !== undefined);
  if (claimed !== undefined) await third.network.detach({ ...pod('kept'), netns: undefined }, claimed);
  t.deepEqual([await fixture.leases(), await third.files()], [[], []]);
});

test.serial('a network that was being prepared is released by the next server', async (t) => {
  const fixture = await CniFixture.make(t);
  const started = join(fixture.directory, 'started');
  // It hangs when the address has been given.
  await fixture.plugin(
    'tuning',
    `#!/bin/sh\n[ "$CNI_COMMAND" = ADD ] || exit 0\necho $$ >${started}\nexec sleep 1000\n`,
  );
  await fixture.configure([{ type: 'tuning' }]);
  const first = new Pooled(t, fixture, 1);
  await eventually('the hanging plugin', async () => (await readdir(fixture.directory)).includes('started'));
  await first.end();
  // This process would wait for it.
  t.teardown(async () => process.kill(Number(await readFile(started, 'utf8'))));
  t.is((await fixture.leases()).length, 1);
  await fixture.configure([]);
  const second = new Pooled(t, fixture, 1);
  await second.ready(1);
  t.deepEqual(await fixture.leases(), [`${fixture.subnet}.3`]);
});

test.serial('a release that fails is repeated, also by the next server', async (t) => {
  const fixture = await CniFixture.make(t);
  const broken = join(fixture.directory, 'broken');
  await fixture.plugin('tuning', `#!/bin/sh\n[ ! -e ${broken} ]\n`);
  const pool = new Pooled(t, fixture, 1);
  await pool.ready(1);
  await writeFile(broken, '');
  const [list] = [JSON.stringify({ cniVersion: '1.0.0', name: 'test', plugins: [{ type: 'tuning' }] })];
  const attachment = { ips: ['10.0.0.1'], networks: [{ ifName: 'eth0', conflist: list, result: '{}' }] };
  const request = await fixture.request(t, 'del');
  await pool.network.detach(request, attachment);
  await eventually('a failure', () => fixture.warnings.includes('Releasing a network failed'));
  t.true(pool.figures.releasing > 0);
  await pool.end();
  await rm(broken);
  const next = new Pooled(t, fixture, 1);
  await eventually('the release', () => next.figures.releasing === 0 && next.figures.ready === 1);
});

test.serial('a pod waits for addresses that are being released', async (t) => {
  const fixture = await CniFixture.make(t);
  await fixture.configure([], [`${fixture.subnet}.0/30`]);
  const pool = new Pooled(t, fixture, 1);
  await pool.ready(1);
  const request = pod('one');
  const { netns, ...attachment } = await pool.pod(t, request);
  pool.quiet = new Promise(() => undefined);
  await pool.network.detach({ ...request, netns }, attachment);
  const other = await fixture.request(t, 'two');
  const attached = await pool.network.attach(other, done);
  t.deepEqual(attached.ips, [`${fixture.subnet}.2`]);
  await pool.network.detach(other, attached);
});

test.serial('10 pods at once on 4 networks get an address each', async (t) => {
  const pool = await pooled(t, 4);
  await pool.ready(4);
  pool.quiet = new Promise(() => undefined);
  const pods = Array.from({ length: 10 }, async (_, index) => {
    const request = pod(`p${String(index)}`);
    const claimed = await pool.network.pool.claim(request);
    if (claimed?.prepared === undefined) {
      const own = await pool.fixture.request(t, `q${String(index)}`);
      return { request: own, attachment: await pool.network.attach(own, done) };
    }
    const netns = claimed.prepared.namespace;
    return { request: { ...request, netns }, attachment: claimed };
  });
  const made = await Promise.all(pods);
  t.is(new Set(made.map(({ attachment }) => attachment.ips[0])).size, 10);
  t.like(pool.figures, { claimed: 4, missed: 6 });
  await Promise.all(made.map(({ request, attachment }) => pool.network.detach(request, attachment)));
  await pool.clear();
  t.deepEqual([await pool.fixture.leases(), await pool.files()], [[], []]);
});

const NO_POD = /\/networks\/prepared-|\/ipam\/|namespace |:CNI-|-A CNI-|-A POSTROUTING .*CNI-|interface veth/;

test.serial('pods run on prepared networks, also past kills', async (t) => {
  const server = await ServerFixture.make(t, '', { prepared: 2 });
  const ready = async () => {
    const directory = join(server.directory, 'root/networks');
    const names = (await readdir(directory)).filter((name) => name.endsWith('.json'));
    const texts = names.map((name) => readFile(join(directory, name), 'utf8').catch(() => ''));
    const phases = (await Promise.all(texts)).map((text) => /"phase":"(\w+)"/.exec(text)?.[1]);
    return phases.length === 2 && phases.every((phase) => phase === 'ready');
  };
  await server.warm();
  await eventually('prepared networks', ready);
  const before = (await inventory(server)).filter((line) => !NO_POD.test(line));
  const sysctls = { 'net.ipv4.tcp_syn_retries': '3' };
  const show = 'hostname; cat /proc/sys/net/ipv4/tcp_syn_retries; ip -4 -o addr show eth0; ip link show lo';
  for (const handler of ['lxc', 'crun']) {
    const pod = await server.pod(handler, { hostname: handler, linux: { sysctls } }, handler);
    await server.exit(await server.sh(pod, 'main', show));
    const said = await server.output(handler, 'main');
    t.regex(said, new RegExp(`^${handler}\n3\n.* inet 10\\.\\d+\\.\\d+\\.\\d+/24 [^]*LOOPBACK,UP`));
  }
  await eventually('networks instead', ready);

  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    const starting = Promise.allSettled(['lxc', 'crun'].map((handler) => server.pod(`${handler}-2`, {}, handler)));
    if (signal === 'SIGTERM') await starting;
    await server.end(signal);
    await starting;
    await server.start();
    await eventually('prepared networks after a restart', ready);
    const { items } = await server.client.call(RuntimeServiceService.listPodSandbox, ListPodSandboxRequest.create());
    const running = items.filter(({ state }) => state === PodSandboxState.SANDBOX_READY);
    const ips = running.map(async ({ id: podSandboxId }) => {
      const call = { podSandboxId, verbose: false };
      return (await server.client.call(RuntimeServiceService.podSandboxStatus, call)).status?.network?.ip;
    });
    t.true(running.length >= 4);
    t.is(new Set(await Promise.all(ips)).size, running.length, 'an address each');
  }
  t.regex(await server.log(), /Prepared networks adopted/);
  t.notRegex(await server.log(), /failed its check|Releasing a network failed/);
  await server.clear();
  await eventually('the releases', ready);
  t.deepEqual(await leftovers(server, before, (line) => NO_POD.test(line)), []);
  const leases = await readdir(join(server.directory, 'ipam', `net-${server.bridge}`));
  t.is(leases.filter((name) => name.startsWith('10.')).length, 2);
});
