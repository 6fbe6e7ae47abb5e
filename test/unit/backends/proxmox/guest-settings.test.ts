import test from 'ava';
import fc from 'fast-check';
import { guestMemory } from '../../../../src/backends/proxmox/lxc/settings/guest-memory.ts';
import { guestName, guestTags } from '../../../../src/backends/proxmox/lxc/settings/guest-name.ts';
import { guestNotes } from '../../../../src/backends/proxmox/lxc/settings/guest-notes.ts';
import { includeFile } from '../../../../src/backends/proxmox/lxc/files/include-file.ts';
import { startFailure } from '../../../../src/backends/proxmox/lxc/start-failure.ts';
import { ownerOf, withOwner } from '../../../../src/backends/proxmox/guests/owner-mark.ts';
import type { SandboxSpec } from '../../../../src/core/model/sandbox-provider.ts';

const MIB = 1_048_576;
const GIB = 1024 * MIB;
const metadata = (namespace: string, name: string) => ({ namespace, name, uid: 'u', attempt: 0 });
const words = fc.tuple(
  fc.string({ unit: 'grapheme', maxLength: 120 }),
  fc.string({ unit: 'grapheme', maxLength: 120 }),
);

/** pve-common, JSONSchema.pm: dns-name. */
const DNS_NAME = /^([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?\.)*[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$/;
const TAG = /^[a-z0-9_][a-z0-9_\-+.]*$/;

test('a guest is named after its pod', (t) => {
  t.is(guestName(metadata('shop', 'web-7d9f')), 'shop--web-7d9f');
  t.is(guestName(metadata('shop', 'web.v2')), 'shop--web.v2');
  t.is(guestName(metadata('n'.repeat(40), 'p'.repeat(40))), `${'n'.repeat(40)}--${'p'.repeat(21)}`);
  t.is(guestTags(metadata('shop', 'web'), 'proxmox-lxc'), 'k8s;proxmox-lxc;shop');
});

test('any pod has a name and tags that Proxmox takes', (t) => {
  fc.assert(
    fc.property(words, ([namespace, name]) => {
      const found = guestName(metadata(namespace, name));
      return DNS_NAME.test(found) && found.length <= 63;
    }),
  );
  fc.assert(
    fc.property(words, ([namespace, name]) =>
      guestTags(metadata(namespace, name), 'proxmox-lxc')
        .split(';')
        .every((tag) => TAG.test(tag)),
    ),
  );
  t.pass();
});

test('names do not format the notes or forge their mark', (t) => {
  const id = 'a'.repeat(64);
  fc.assert(
    fc.property(words, ([namespace, name]) => {
      const notes = withOwner(guestNotes(id, metadata(namespace, `${name}\n\nKubernetes pod x of proxmox-lxcri`)), id);
      return ownerOf(notes) === id && notes.length < 8192 && notes.split('\n').length === 9;
    }),
  );
  t.regex(guestNotes(id, metadata('shop', 'web')), /^Pod shop\/web, UID u, sandbox a{64}\n/);
});

test('memory lets a container reach its own limit first', (t) => {
  t.is(guestMemory(undefined, 8 * GIB), 8192);
  for (const limit of [1 * MIB, 64 * MIB, 1000 * MIB, 15 * GIB, 16 * GIB, 40 * GIB]) {
    const mib = guestMemory(limit, 64 * GIB);
    // What Proxmox writes to memory.high, in MiB.
    const high = mib >= 16_384 ? mib - 128 : (mib * 1016) / 1024;
    t.true(high * MIB >= limit + 16 * MIB, String(limit));
    t.true(mib * MIB <= limit * 1.02 + 150 * MIB, String(limit));
  }
  t.true(guestMemory(8 * GIB, 8 * GIB) >= 8192);
});

const spec: SandboxSpec = {
  id: 'b'.repeat(64),
  pod: metadata('shop', 'web'),
  annotations: {},
  hostname: 'web-0',
  network: 'pod',
  ipc: 'pod',
  pid: 'container',
  sysctls: { 'net.core.somaxconn': '1024' },
  cgroupParent: '/kubepods/pod1',
  runDir: '/run/x',
};
const parts = {
  hasCard: false,
  native: '/lib/native',
  vmid: 10_000,
  permit: '/run/permit',
  cgroup: '/kubepods/pod1/b',
  cgroupDirectory: '/sys/b',
};
const linesOf = (of: SandboxSpec) => includeFile(of, parts).trimEnd().split('\n');

test('the included file ties the pod to its guest', (t) => {
  const lines = linesOf(spec);
  for (const line of [
    'lxc.cgroup.dir.container = kubepods/pod1/b',
    'lxc.hook.pre-start = /lib/native hook --name 10000 pre-start /run/permit',
    'lxc.hook.stop = /lib/native hook --name 10000 stop /sys/b',
    'lxc.uts.name = web-0',
    'lxc.sysctl.net.core.somaxconn = 1024',
    'lxc.cgroup2.devices.deny =',
  ])
    t.true(lines.includes(line), line);
  t.false(lines.some((line) => line.startsWith('lxc.namespace.keep')));
});

test('a guest with a network card of its own has its loopback up, and the card left to the network', (t) => {
  const lines = includeFile(spec, { ...parts, hasCard: true }).split('\n');
  const net = lines.filter((line) => line.startsWith('lxc.net.'));
  t.deepEqual(net, ['lxc.net.100.type = empty', 'lxc.net.100.flags = up']);
  const order = ['lxc.sysctl.net.ipv4.conf.eth0.arp_notify = 1', 'lxc.sysctl.net.core.somaxconn = 1024'];
  const places = order.map((line) => lines.indexOf(line));
  t.true(places[0]! >= 0 && places[0]! < places[1]!, "the pod's own kernel parameters come last");
  t.deepEqual(
    linesOf(spec).filter((line) => line.startsWith('lxc.net.')),
    ['lxc.net.0.type = empty', 'lxc.net.0.flags = up'],
  );
});

test('a refused kernel parameter is an invalid argument', (t) => {
  const log = 'x | setup_sysctl_parameters: 3130 Failed to setup sysctl parameters net.a to 1 | lxc_setup: failed';
  const failure = startFailure(new Error(log)) as Error;
  t.is(failure.message, 'linux.sysctls: the kernel refuses sysctl parameters net.a to 1');
  const other = new Error('startup for container failed');
  t.is(startFailure(other), other);
});

test('a host-network pod keeps namespaces of the node', (t) => {
  const lines = linesOf({ ...spec, network: 'node', ipc: 'node', hostname: '' });
  t.true(lines.includes('lxc.namespace.keep = user ipc net uts'));
  t.true(lines.includes('lxc.uts.name ='));
});

test('a line break never reaches the included file', (t) => {
  t.throws(() => linesOf({ ...spec, hostname: 'a\nlxc.hook.start = /bin/x' }), { message: /^hostname: / });
});
