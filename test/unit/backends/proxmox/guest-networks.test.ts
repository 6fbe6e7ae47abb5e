import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { isIPv6 } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import test, { type ExecutionContext } from 'ava';
import { AddressAllocator } from '../../../../src/backends/proxmox/network/address-allocator.ts';
import { openAddressMap } from '../../../../src/backends/proxmox/network/address-map.ts';
import { cardCommands } from '../../../../src/backends/proxmox/network/configure-card.ts';
import { type GuestNetwork, guestNetworks, networkOf } from '../../../../src/backends/proxmox/network/guest-network.ts';
import { macOf } from '../../../../src/backends/proxmox/network/mac-address.ts';
import { networkCard } from '../../../../src/backends/proxmox/network/network-card.ts';
import { OtherGuests, staticAddresses } from '../../../../src/backends/proxmox/network/other-guests.ts';
import { CriError, StatusCode } from '../../../../src/core/model/errors.ts';
import type { NetworkSettings } from '../../../../src/core/model/guest-networks.ts';
import {
  formatAddress,
  formatRange,
  isWithin,
  overlap,
  parseAddress,
  parseRange,
  parseSubnet,
} from '../../../../src/utils/net/address-range.ts';
import { PROPERTY_SEED } from '../../../lib/property-seed.ts';
import { silent } from './silent.ts';

const runs = { seed: PROPERTY_SEED };
const SETTINGS: NetworkSettings = {
  namespaces: ['*'],
  bridge: 'vmbr0',
  tag: 0,
  rate: 0,
  mtu: 0,
  mac_prefix: '',
  firewall: false,
  firewall_policy: 'DROP',
  security_groups: [],
  subnets: ['10.20.0.0/16'],
  gateways: ['10.20.0.1'],
  node_addresses: {},
  node_routes: [],
  addresses: { pve1: ['10.20.1.0-10.20.1.7'] },
};
const network = (changes: Partial<NetworkSettings> = {}): GuestNetwork =>
  guestNetworks([{ ...SETTINGS, ...changes }], 'pve1')[0]!;

async function place(t: ExecutionContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'addresses-'));
  t.teardown(() => rm(directory, { recursive: true }));
  return directory;
}

async function allocator(directory: string, inGuests: readonly string[] = []): Promise<AddressAllocator> {
  const map = await openAddressMap(join(directory, 'addresses.json'));
  return new AddressAllocator({
    map,
    node: 'pve1',
    inGuests: () => Promise.resolve(new Set(inGuests)),
    logger: silent,
  });
}

const family = fc.constantFrom(4 as const, 6 as const);
const address = family.chain((version) =>
  fc.bigInt({ min: 0n, max: (1n << (version === 4 ? 32n : 128n)) - 1n }).map((value) => ({ family: version, value })),
);

test('an address is read from its text', (t) => {
  fc.assert(
    fc.property(address, (one) => {
      t.deepEqual(parseAddress(formatAddress(one)), one);
    }),
    runs,
  );
  fc.assert(
    fc.property(fc.ipV6(), (text) => {
      const one = parseAddress(text);
      t.true(one !== undefined && isIPv6(formatAddress(one)), text);
    }),
    runs,
  );
  t.is(formatAddress(parseAddress('2001:DB8:0:0::00ff')!), '2001:db8::ff');
  for (const text of ['', '10.0.0', '10.0.0.256', '10.0.0.01', 'fe80::1%eth0', '::1/64', 'x'])
    t.is(parseAddress(text), undefined, text);
});

test('a range is read from its text, and lies in its subnet', (t) => {
  const spans = fc.tuple(address, fc.bigInt({ min: 0n, max: 70_000n }));
  fc.assert(
    fc.property(spans, ([{ family: version, value }, size]) => {
      const highest = (1n << (version === 4 ? 32n : 128n)) - 1n;
      const range = { family: version, first: value, last: value + size > highest ? highest : value + size };
      t.deepEqual(parseRange(formatRange(range)), range);
      t.true(overlap(range, { ...range, first: range.last, last: highest }));
      const prefix = version === 4 ? 12 : 80;
      const block = 1n << BigInt((version === 4 ? 32 : 128) - prefix);
      const base = formatAddress({ family: version, value: (range.first / block) * block });
      t.is(isWithin(range, parseSubnet(`${base}/${String(prefix)}`)!), range.first / block === range.last / block);
    }),
    runs,
  );
  for (const text of [
    '10.0.0.1/24',
    '10.0.0.0/33',
    '10.0.0.9-10.0.0.1',
    '10.0.0.1-::2',
    '10.0.0.1-10.0.0.2-10.0.0.3',
    'a-b',
  ])
    t.is(parseRange(text), undefined, text);
});

test('no address is given twice, and each one once', async (t) => {
  const ranges = fc.uniqueArray(fc.integer({ min: 0, max: 15 }), { minLength: 1, maxLength: 4 });
  const steps = fc.array(fc.tuple(fc.boolean(), fc.nat(11)), { maxLength: 40 });
  const directory = await place(t);
  let run = 0;
  await fc.assert(
    fc.asyncProperty(ranges, steps, async (blocks, plan) => {
      const texts = blocks.map((block) => `10.20.0.${String(block * 4)}-10.20.0.${String(block * 4 + 3)}`);
      const of = network({ addresses: { pve1: texts }, node_addresses: { pve2: ['10.20.0.2'] } });
      // Those of the subnet, the gateway and a node are nobody's.
      const whole = blocks.length * 4 - (blocks.includes(0) ? 3 : 0);
      const own = join(directory, String(++run));
      let pods = await allocator(own);
      const has = new Map<string, string>();
      for (const [releases, number] of plan) {
        const owner = `pod-${String(number)}`;
        if (releases) {
          await pods.release(owner);
          has.delete(owner);
        } else if (has.size < whole || has.has(owner)) {
          const [given = ''] = await pods.reserve(owner, of);
          t.is(given, has.get(owner) ?? given, 'a pod keeps its address');
          has.set(owner, given);
          t.true(of.subnets[0]!.ranges.some((range) => isWithin(parseRange(given)!, range)));
        } else {
          const refused = { instanceOf: CriError, code: StatusCode.RESOURCE_EXHAUSTED };
          await t.throwsAsync(pods.reserve(owner, of), refused);
        }
        t.is(new Set(has.values()).size, has.size);
        // Another process knows the same.
        if (number === 0) pods = await allocator(own);
        t.deepEqual(new Set(pods.owners()), new Set(has.keys()));
      }
    }),
    { ...runs, numRuns: 20 },
  );
});

test('pods that are run at once get different addresses of each subnet', async (t) => {
  const both = network({
    subnets: ['fd00:20::/64', '10.20.0.0/16'],
    gateways: ['fe80::1', '10.20.0.1'],
    addresses: { pve1: ['10.20.1.0/28', 'fd00:20::/112'] },
  });
  const pods = await allocator(await place(t), ['10.20.1.3']);
  const given = await Promise.all(Array.from({ length: 15 }, (_, index) => pods.reserve(`pod-${String(index)}`, both)));
  t.is(new Set(given.flat()).size, 30);
  t.deepEqual(given[0], ['fd00:20::1', '10.20.1.0']);
  t.false(given.flat().includes('10.20.1.3'));
  t.deepEqual(pods.addressesOf('pod-1', both), given[1]);
  const error = await t.throwsAsync(pods.reserve('more', both), { instanceOf: CriError });
  t.regex(error.message, /10\.20\.1\.0-10\.20\.1\.15.* pods have 30.* extend proxmox\.networks\[0\]\.addresses\.pve1/);
  t.deepEqual(pods.addressesOf('more', both), []);
});

test('an address that becomes free is given after all others', async (t) => {
  const pods = await allocator(await place(t));
  const of = network({ addresses: { pve1: ['10.20.1.0-10.20.1.2'] } });
  t.deepEqual(await pods.reserve('a', of), ['10.20.1.0']);
  await pods.release('a');
  t.deepEqual(await pods.reserve('b', of), ['10.20.1.1']);
  t.deepEqual(await pods.reserve('c', of), ['10.20.1.2']);
  t.deepEqual(await pods.reserve('d', of), ['10.20.1.0']);
});

test('a node without addresses says what to add', async (t) => {
  const pods = await allocator(await place(t));
  const error = await t.throwsAsync(pods.reserve('a', network({ addresses: {} })), { instanceOf: CriError });
  t.regex(error.message, /^proxmox\.networks\[0\]\.addresses\.pve1: is missing: give this node addresses/);
});

test('the network of a pod follows its namespace', (t) => {
  const all = guestNetworks(
    [
      { ...SETTINGS, namespaces: ['team-a', 'team-a-*'], bridge: 'zone/vnet1' },
      { ...SETTINGS, namespaces: ['prod'] },
    ],
    'pve1',
  );
  t.is(networkOf('team-a-web', all).bridge, 'vnet1');
  t.is(networkOf('prod', all).field, 'proxmox.networks[1]');
  const error = t.throws(() => networkOf('other', all), { instanceOf: CriError });
  t.like(error, { code: StatusCode.FAILED_PRECONDITION });
  t.regex(error.message, /^proxmox\.networks: no network is for namespace other/);
});

test('a card has what the network and the pod ask for', (t) => {
  t.is(networkCard(network(), ['10.20.1.5'], undefined), 'name=eth0,bridge=vmbr0,ip=10.20.1.5/16,gw=10.20.0.1');
  const whole = network({
    ...{ tag: 20, rate: 50, mtu: 9000, mac_prefix: 'bc:24:11', firewall: true },
    ...{ subnets: ['fd00::/64', '10.20.0.0/16'], gateways: ['10.20.0.1'] },
    ...{ node_addresses: { pve1: ['10.20.0.11'], pve2: ['10.20.0.12'] }, node_routes: ['10.96.0.0/12'] },
  });
  t.is(
    networkCard(whole, ['fd00::5', '10.20.1.5'], { ingressRate: 8_388_608, egressRate: 80_000_000 }),
    'name=eth0,bridge=vmbr0,tag=20,rate=1,mtu=9000,hwaddr=BC:24:11:00:00:05,firewall=1,ip6=fd00::5/64,ip=10.20.1.5/16,gw=10.20.0.1',
  );
  t.regex(networkCard(whole, ['fd00::5', '10.20.1.5'], { egressRate: 1000 }), /rate=0\.000119,/);
  t.regex(networkCard(whole, ['fd00::5', '10.20.1.5'], {}), /rate=50,/);
  t.is(macOf('0A:58', '10.20.1.5'), '0A:58:0A:14:01:05');
  t.deepEqual(cardCommands(whole, ['fd00::5', '10.20.1.5']).trimEnd().split('\n'), [
    'address replace fd00::5/64 nodad dev eth0',
    'address replace 10.20.1.5/16 broadcast + dev eth0',
    'link set dev eth0 up',
    'route replace 0.0.0.0/0 via 10.20.0.1 dev eth0',
    'route replace 10.96.0.0/12 via 10.20.0.11 dev eth0',
  ]);
});

test('static addresses of all guests are found', async (t) => {
  const nodes = await place(t);
  const config = `#ip=10.0.0.9
net0: name=eth0,bridge=vmbr0,gw=10.0.0.1,ip=10.0.0.2/24,ip6=2001:DB8:0::2/64
net1: name=eth1,bridge=vmbr0,ip=dhcp,ip6=auto

[before]
net0: name=eth0,bridge=vmbr0,ip=10.0.0.3/24
`;
  t.deepEqual(staticAddresses(config), ['10.0.0.2', '2001:db8::2', '10.0.0.3']);
  t.deepEqual(staticAddresses('ipconfig0: ip=10.0.0.4/24,gw=10.0.0.1\n'), ['10.0.0.4']);
  for (const kind of ['lxc', 'qemu-server']) await mkdir(join(nodes, 'pve2', kind), { recursive: true });
  await writeFile(join(nodes, 'pve2/lxc/100.conf'), config);
  await writeFile(join(nodes, 'pve2/qemu-server/101.conf'), 'ipconfig0: ip=10.0.0.4/24,gw=10.0.0.1\n');
  const guests = new OtherGuests(nodes);
  t.deepEqual([...(await guests.addresses(false))].sort(), ['10.0.0.2', '10.0.0.3', '10.0.0.4', '2001:db8::2']);
  await rm(join(nodes, 'pve2/lxc/100.conf'));
  t.is((await guests.addresses(false)).size, 4, 'of a moment ago');
  t.deepEqual([...(await guests.addresses(true))], ['10.0.0.4']);
  t.deepEqual([...(await new OtherGuests(join(nodes, 'none')).addresses(false))], []);
});
