import test from 'ava';
import type { ExecutionContext } from 'ava';
import { mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { isIPv6 } from 'node:net';
import { join, resolve } from 'node:path';
import { PodSandboxState, RuntimeServiceService } from '../../api/gen/cri.ts';
import { run } from '../../src/host/processes/run.ts';
import { eventually } from '../lib/eventually.ts';
import { ServerFixture } from './server-fixture.ts';

/** A server whose pods get their network from files of the test. */
class NetworkFixture {
  readonly server: ServerFixture;

  private constructor(server: ServerFixture) {
    this.server = server;
  }

  static async make(t: ExecutionContext): Promise<NetworkFixture> {
    const fixture = new NetworkFixture(await ServerFixture.make(t));
    const { directory } = fixture.server;
    await mkdir(join(directory, 'conf.d'));
    await writeFile(
      join(directory, 'conf.d/network.toml'),
      `[network]\nplugin_dirs = ["${resolve('test/fixtures/cni')}", "/usr/lib/cni"]\nconf_template = "${directory}/template"\n`,
    );
    await rm(fixture.path('cni/10-test.conflist'));
    await fixture.restart('SIGTERM');
    return fixture;
  }

  path(name: string): string {
    return join(this.server.directory, name);
  }

  async restart(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    await this.server.end(signal);
    await this.server.start();
  }

  async condition() {
    const { status } = await this.server.client.call(RuntimeServiceService.status, { verbose: false });
    return status?.conditions.find(({ type }) => type === 'NetworkReady');
  }

  async podStatus(podSandboxId: string) {
    const call = this.server.client.call(RuntimeServiceService.podSandboxStatus, { podSandboxId, verbose: false });
    return (await call).status;
  }

  stop(podSandboxId: string) {
    return this.server.client.call(RuntimeServiceService.stopPodSandbox, { podSandboxId });
  }

  /** A network of the recorder only, which gives every pod the same address. */
  async record(): Promise<void> {
    const result = { interfaces: [{ name: 'eth0', sandbox: 'x' }], ips: [{ address: '10.9.9.9/24', interface: 0 }] };
    const plugins = [{ type: 'recorder', journal: this.path('journal'), result }];
    await writeFile(
      this.path('cni/20-recorder.conflist'),
      JSON.stringify({ cniVersion: '1.1.0', name: 'recorder', plugins }),
    );
  }

  async calls(command: string) {
    const lines = (await readFile(this.path('journal'), 'utf8').catch(() => '')).split('\n');
    return lines
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as { command: string; input: Record<string, unknown>; environment: object })
      .filter((call) => call.command === command);
  }

  /** Makes a command of the recorder fail until this is called without `message`. */
  async fail(command: string, message?: string): Promise<void> {
    if (message === undefined) await rm(this.path(`journal.${command}`), { force: true });
    else await writeFile(this.path(`journal.${command}`), JSON.stringify({ code: 50, msg: message }));
  }
}

test.serial('a template and pod CIDRs make the network ready', async (t) => {
  const fixture = await NetworkFixture.make(t);
  const { client } = fixture.server;
  const bridge = `tpl${String(process.pid)}`;
  t.teardown(() => run('ip', ['link', 'delete', bridge]).catch(() => undefined));
  const ipam = {
    type: 'host-local',
    dataDir: fixture.path('leases'),
    ranges: '{{PodCIDRRanges}}',
    routes: '{{Routes}}',
  };
  const plugins = [{ type: 'bridge', bridge, isGateway: true, ipam }];
  await writeFile(fixture.path('template'), JSON.stringify({ cniVersion: '1.0.0', name: 'templated', plugins }));
  t.like(await fixture.condition(), { status: false, reason: 'NetworkPluginNotReady' });
  const setPodCidr = (podCidr: string) =>
    client.call(RuntimeServiceService.updateRuntimeConfig, { runtimeConfig: { networkConfig: { podCidr } } });
  await setPodCidr('');
  t.deepEqual(await readdir(fixture.path('cni')), []);
  await t.throwsAsync(setPodCidr('10.99.0.0'), { message: /pod_cidr.*must be an address range/ });
  await setPodCidr('10.99.3.0/24,fd99::/64');
  t.deepEqual(await readdir(fixture.path('cni')), ['10-proxmox-lxcri.conflist']);
  t.like(await fixture.condition(), { status: true, reason: '', message: '' });
  for (const handler of ['lxc', 'crun']) {
    const pod = await fixture.server.pod(`dual-${handler}`, {}, handler);
    const network = (await fixture.podStatus(pod))?.network;
    t.regex(network?.ip ?? '', /^10\.99\.3\.\d+$/);
    t.is(network?.additionalIps.length, 1);
    t.true(isIPv6(network?.additionalIps[0]?.ip ?? ''));
    const container = await fixture.server.sh(pod, 'look', 'sleep 3600');
    const { stdout } = await fixture.server.exec(container, 'ip', '-o', 'addr', 'show', 'dev', 'eth0');
    t.true(stdout.toString().includes(` ${network?.ip ?? ''}/24 `));
    t.true(stdout.toString().includes(` ${network?.additionalIps[0]?.ip ?? ''}/64 `));
    const hosts = (await fixture.server.exec(container, 'cat', '/etc/hosts')).stdout.toString();
    t.true(hosts.includes(network?.additionalIps[0]?.ip ?? 'none'));
  }
});

test.serial('STATUS errors of plugins appear in NetworkReady', async (t) => {
  const fixture = await NetworkFixture.make(t);
  await fixture.record();
  t.like(await fixture.condition(), { status: true });
  await fixture.fail('STATUS', 'no route to the controller');
  t.deepEqual(await fixture.condition(), {
    type: 'NetworkReady',
    status: false,
    reason: 'NetworkPluginNotReady',
    message: 'CNI plugin recorder failed to STATUS: no route to the controller (code 50)',
  });
  await fixture.fail('STATUS');
  t.like(await fixture.condition(), { status: true });
});

test.serial('a failed detach is retried, also after a restart', async (t) => {
  const fixture = await NetworkFixture.make(t);
  await fixture.record();
  const [first, second] = [await fixture.server.pod('first'), await fixture.server.pod('second', {}, 'crun')];
  t.is((await fixture.podStatus(first))?.network?.ip, '10.9.9.9');
  await fixture.fail('DEL', 'not now');
  await t.throwsAsync(fixture.stop(first), { message: /recorder failed to DEL: not now \(code 50\)/ });
  t.is((await fixture.podStatus(first))?.state, PodSandboxState.SANDBOX_NOTREADY);
  await eventually('a repetition', async () => (await fixture.calls('DEL')).length > 1);
  await fixture.fail('DEL');
  await eventually('a detached pod', async () => (await fixture.podStatus(first))?.network?.ip === '');
  const calls = (await fixture.calls('DEL')).length;

  await fixture.fail('DEL', 'not now');
  await t.throwsAsync(fixture.stop(second), { message: /not now/ });
  await fixture.restart('SIGKILL');
  await rm(fixture.path('cni/20-recorder.conflist'));
  t.is((await fixture.podStatus(second))?.state, PodSandboxState.SANDBOX_NOTREADY);
  await fixture.fail('DEL');
  await eventually('a detached pod', async () => (await fixture.podStatus(second))?.network?.ip === '');
  const last = (await fixture.calls('DEL')).slice(calls).at(-1);
  t.like(last?.environment, { CNI_CONTAINERID: second });
  t.like(last?.input['prevResult'], { ips: [{ address: '10.9.9.9/24' }] });
});

test.serial('a pod with a failed rollback stays listed', async (t) => {
  const fixture = await NetworkFixture.make(t);
  await fixture.record();
  await fixture.fail('ADD', 'no address left');
  await fixture.fail('DEL', 'not now');
  const config = fixture.server.podConfig('half');
  const request = { config, runtimeHandler: 'lxc' };
  const { client } = fixture.server;
  const run = () => client.call(RuntimeServiceService.runPodSandbox, request);
  await t.throwsAsync(run(), { message: /no address left/ });
  const pods = async () => (await client.call(RuntimeServiceService.listPodSandbox, { filter: undefined })).items;
  const [half, ...others] = await pods();
  t.deepEqual(others, []);
  t.is(half?.state, PodSandboxState.SANDBOX_NOTREADY);
  await t.throwsAsync(run(), { message: /remove it first/ });
  await fixture.fail('ADD');
  const remove = () => client.call(RuntimeServiceService.removePodSandbox, { podSandboxId: half?.id ?? '' });
  await t.throwsAsync(remove(), { message: /not now/ });
  const failed = (await fixture.calls('DEL')).length;
  await fixture.fail('DEL');
  await eventually('a repetition', async () => (await fixture.calls('DEL')).length > failed);
  await remove();
  t.deepEqual(await pods(), []);
  t.is((await fixture.podStatus((await run()).podSandboxId))?.state, PodSandboxState.SANDBOX_READY);
});

test.serial('the server runs CHECK and GC at start', async (t) => {
  const fixture = await NetworkFixture.make(t);
  await fixture.record();
  const pod = await fixture.server.pod('kept');
  await rm(fixture.path('journal'));
  await fixture.fail('CHECK', 'the interface is down');
  await fixture.restart('SIGKILL');
  await eventually('a collection', async () => (await fixture.calls('GC')).length > 0);
  const [collection] = await fixture.calls('GC');
  t.deepEqual(collection?.input['cni.dev/valid-attachments'], [{ containerID: pod, ifname: 'eth0' }]);
  t.like((await fixture.calls('CHECK'))[0]?.environment, { CNI_CONTAINERID: pod });
  const words = /A pod's network failed its check.*the interface is down/;
  await eventually('the complaint', async () => words.test(await fixture.server.log()));
  t.is((await fixture.podStatus(pod))?.state, PodSandboxState.SANDBOX_READY);
});
