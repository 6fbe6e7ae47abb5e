// A guest of its own: `test/long proxmox-networks`.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import {
  ListPodSandboxRequest,
  PodSandboxConfig,
  RunPodSandboxRequest,
  RuntimeServiceService,
} from '../../../api/gen/cri.ts';
import { forEach } from '../../../src/utils/async/for-each.ts';
import { isWithin, parseRange } from '../../../src/utils/net/address-range.ts';
import { ServerFixture } from '../../integration/server-fixture.ts';
import { eventually, HANG_MS } from '../../lib/eventually.ts';
import { loadGuest } from '../../pve/config/guest.ts';
import { LxcRuntime } from '../../pve/lxc/runtime.ts';
import { HANDLER } from '../proxmox-pods.ts';
import { GuestFirewall } from '../pve-firewall.ts';
import { NetworkFixture } from '../pve-network.ts';
import { NodeFixture } from '../pve-node.ts';

const PODS = Number(process.env['PODS'] ?? 20);
const AT_ONCE = 4;
const RELEASE = process.env['RELEASE'] === '8.4' ? '8.4' : '9.2';
const NODES = ['pve1', 'pve2'];
const VLANS = { 'team-a': 20, 'team-b': 30 };
const TEAMS = Object.keys(VLANS) as (keyof typeof VLANS)[];
/** Two ports, one of which the firewall opens. */
const SERVE = 'cd /tmp; echo page >index.html; httpd -p 9090; httpd -p 8080; echo ready; exec sleep 1000000';

const call = RuntimeServiceService;
const options = { timeoutMs: HANG_MS };

interface Pod {
  name: string;
  team: keyof typeof VLANS;
  node: string;
  server: ServerFixture;
  id: string;
  container: string;
  ips: string[];
}

test('pods of two nodes on one VLAN-aware bridge have each an address, and the firewall drops what it should', async (t) => {
  const places = Object.fromEntries(NODES.map((node) => [node, '/var/lib/lxc']));
  const node = await NodeFixture.make({ release: RELEASE, nodes: NODES, runtime: new LxcRuntime(places) });
  t.teardown(() => node.close());
  const network = await NetworkFixture.make(t, ...Object.values(VLANS));
  const half = Math.ceil(PODS / 2);
  const rangesIn = (tag: number) => ({
    pve1: [`10.77.${String(tag)}.16-10.77.${String(tag)}.${String(16 + half)}`, `fd77:${String(tag)}::1:0/112`],
    pve2: [`10.77.${String(tag)}.128-10.77.${String(tag)}.${String(128 + half)}`, `fd77:${String(tag)}::2:0/112`],
  });
  const networks = TEAMS.map((team) =>
    network.toml(
      VLANS[team],
      rangesIn(VLANS[team]),
      `namespaces = ["${team}"]\nfirewall = true\nsecurity_groups = ["web"]\nmac_prefix = "0a:58"`,
    ),
  );
  const servers = new Map<string, ServerFixture>();
  for (const name of NODES) {
    const toml = node.toml
      .replace('node = "pve1"', `node = "${name}"`)
      .replace('[proxmox.vmids]', `${networks.join('')}\n$&\npve2 = { first = 10300, size = 300 }`);
    servers.set(name, await ServerFixture.make(t, `${toml}\n[handlers.proxmox-lxc]\nnetwork = "proxmox"\n`));
  }
  const run = async (index: number): Promise<Pod> => {
    const name = `pod-${String(index)}`;
    const home = NODES[index % 2] ?? '';
    const team = TEAMS[(index >> 1) % 2] ?? 'team-a';
    const server = servers.get(home)!;
    const metadata = { name, namespace: team, uid: name, attempt: 0 };
    const config = PodSandboxConfig.create({ ...server.podConfig(name), metadata });
    const request = RunPodSandboxRequest.create({ config, runtimeHandler: HANDLER });
    const { podSandboxId: id } = await server.client.call(call.runPodSandbox, request, options);
    const container = await server.sh(id, 'web', SERVE);
    await server.said(name, 'web', 'ready');
    const { status } = await server.client.call(call.podSandboxStatus, { podSandboxId: id, verbose: false });
    const more = status?.network?.additionalIps.map(({ ip }) => ip) ?? [];
    return { name, team, node: home, server, id, container, ips: [status?.network?.ip ?? '', ...more] };
  };
  const pods: Pod[] = [];
  const runAll = (from: number, count: number) =>
    forEach(
      Array.from({ length: count }, (_, index) => from + index),
      AT_ONCE,
      async (index) => {
        pods.push(await run(index));
      },
    );
  const areApart = async () => {
    const all = pods.flatMap(({ ips }) => ips);
    t.is(all.length, pods.length * 2);
    t.is(new Set(all).size, all.length, 'no address twice');
    for (const { ips, team, node: home } of pods) {
      const ranges = rangesIn(VLANS[team])[home as 'pve1'].map((text) => parseRange(text)!);
      t.true(
        ips.every((ip) => ranges.some((range) => isWithin(parseRange(ip)!, range))),
        `${home}: ${ips.join()}`,
      );
    }
    const { state } = node.cluster;
    for (const ref of state.guests.list()) {
      const card = loadGuest(state, ref).current.values['net0'] ?? '';
      t.is(await network.vlanOf(`fwpr${String(ref.vmid)}p0`), Number(/tag=(\d+)/.exec(card)?.[1]), card);
    }
  };

  await runAll(0, PODS);
  await areApart();

  const reaches = async ({ server, container }: Pod, ip: string, port: number) => {
    const host = ip.includes(':') ? `[${ip}]` : ip;
    const { exitCode } = await server.exec(
      container,
      'wget',
      '-q',
      '-T',
      '10',
      '-O',
      '-',
      `http://${host}:${String(port)}/`,
    );
    return exitCode === 0;
  };
  const [from, to] = NODES.map((home) => pods.find((pod) => pod.team === 'team-a' && pod.node === home)!) as [Pod, Pod];
  for (const ip of to.ips)
    for (const port of [8080, 9090]) t.true(await reaches(from, ip, port), `${ip} ${String(port)}`);
  const firewall = await GuestFirewall.make(t, node.cluster.state, { web: [8080] });
  await firewall.write();
  for (const ip of to.ips) {
    t.true(await reaches(from, ip, 8080), `${ip}: the group opens the port`);
    t.false(await reaches(from, ip, 9090), `${ip}: the policy drops the rest`);
  }

  // Servers that are killed while pods are run give no address again.
  const cut = Promise.allSettled([runAll(PODS, 2)]);
  await eventually('a create', () => node.cluster.state.guests.list().length > PODS);
  for (const server of servers.values()) await server.end('SIGKILL');
  await cut;
  for (const server of servers.values()) await server.start();
  const inMap = async () => {
    const texts = [...servers.values()].map((server) =>
      readFile(join(server.directory, 'root/addresses.json'), 'utf8'),
    );
    return (await Promise.all(texts)).flatMap((text) =>
      Object.keys((JSON.parse(text) as { addresses: object }).addresses),
    );
  };
  await runAll(PODS + 2, 2);
  await areApart();
  t.is((await inMap()).length, pods.length * 2);

  for (const { client } of servers.values()) {
    const { items } = await client.call(call.listPodSandbox, ListPodSandboxRequest.create());
    await forEach(items, AT_ONCE, async ({ id: podSandboxId }) => {
      await client.call(call.removePodSandbox, { podSandboxId }, options);
    });
  }
  t.deepEqual(await inMap(), []);
  t.deepEqual(network.links(), []);
  t.deepEqual(node.cluster.state.guests.list(), []);
  t.log(
    `${String(pods.length)} pods on ${String(NODES.length)} nodes of ${RELEASE}, ${String(pods.length * 2)} addresses`,
  );
});
