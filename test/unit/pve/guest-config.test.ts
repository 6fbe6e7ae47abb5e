import test from 'ava';
import { apiView } from '../../pve/guest-config/api-view.ts';
import { lxcConfig } from '../../pve/guest-config/lxc/config.ts';
import { parseGuestConfig } from '../../pve/guest-config/parse.ts';
import { writeGuestConfig } from '../../pve/guest-config/write.ts';

const PLAIN = 'arch: amd64\nostype: unmanaged\nrootfs: local:100/vm-100-disk-0.raw,size=4G\n';
const parse = (text: string, release: 8 | 9 = 9) => parseGuestConfig(text, 100, release);

test('writes back what it read, sections apart', (t) => {
  const text = `#a pod%3A %C3%A4\n${PLAIN}\n[pve:pending]\ndelete: swap\nmemory: 64\n\n[one]\nmemory: 32\nsnapstate: delete\n`;
  const { config, warnings } = parse(text);
  t.deepEqual(warnings, []);
  t.is(config.description, 'a pod: ä\n');
  t.is(config.snapshots['one']!.snapstate, 'delete');
  t.is(writeGuestConfig(config, 9), text);
});

test('pending changes show in their own view only', (t) => {
  const { config } = parse(`${PLAIN}swap: 16\nmemory: 32\n[pve:pending]\ndelete: swap,!hostname\nmemory: 64\n`);
  t.like(apiView(config, 'current'), { swap: 16, memory: 32 });
  const later = apiView(config, 'pending');
  t.is(later['memory'], 64);
  t.false('swap' in later);
});

test('an unused volume that is mounted is forgotten', (t) => {
  const volumes =
    'mp0: local:100/vm-100-disk-1.raw,mp=/d\nunused0: local:100/vm-100-disk-1.raw\nunused1: local:100/x.raw\n';
  const written = writeGuestConfig(parse(PLAIN + volumes).config, 9);
  t.notRegex(written, /unused0/);
  t.regex(written, /unused1/);
});

test('a line feed in a value is refused at writing', (t) => {
  const { config } = parse(PLAIN);
  config.options['hostname'] = 'a\nlxc.include: /x';
  t.throws(() => writeGuestConfig(config, 9), { message: "detected invalid newline inside property 'hostname'" });
});

test('raw keys of LXC 2 are kept with a warning', (t) => {
  const { config, warnings } = parse('lxc.aa_profile: x\nlxc.limit.nofile: 1\nlxc.network.type: veth\nlxc.tty: 1\n');
  t.is(config.lxc.length, 4);
  t.deepEqual(warnings, [
    'vm 100 - lxc.aa_profile is deprecated and was renamed to lxc.apparmor.profile',
    'vm 100 - lxc.limit.nofile: lxc.limit.* was renamed to lxc.prlimit.*',
    'vm 100 - lxc.network.type is deprecated and was renamed to lxc.net.INDEX.type',
    'vm 100 - lxc.tty is deprecated and was renamed to lxc.tty.max',
  ]);
});

test('release 8 loses the environment of release 9', (t) => {
  const { config, warnings } = parse(`${PLAIN}lxc.environment.runtime: A=1\nentrypoint: /app\n`, 8);
  t.deepEqual(warnings, [
    'vm 100 - unable to parse config: lxc.environment.runtime: A=1',
    "vm 100 - unable to parse value of 'entrypoint' - unknown setting 'entrypoint'",
  ]);
  t.notRegex(writeGuestConfig(config, 8), /environment/);
  t.notRegex(lxcConfig(config, { vmid: 100, version: 8 }).text!, /init\.cmd|dev\/shm/);
});

test('environment variables stay one option', (t) => {
  const { config } = parse(`${PLAIN}lxc.environment.runtime: A=1\nlxc.environment.runtime: B=two words\n`);
  t.is(apiView(config, 'current')['env'], 'A=1\0B=two words');
  t.regex(
    lxcConfig(config, { vmid: 100, version: 9 }).text!,
    /runtime = A=1\nlxc\.environment\.runtime = B=two words\n/,
  );
});

test('a network that the host manages brings its addresses', (t) => {
  const net = 'net0: name=eth0,bridge=br0,host-managed=1,hwaddr=02:00:00:00:00:01,ip6=fd00::5/64,gw6=fd00::1\n';
  const surroundings = { bridges: { br0: 1450 } };
  const { text } = lxcConfig(parse(PLAIN + net).config, { vmid: 100, version: 9, surroundings });
  t.regex(
    text!,
    /0\.mtu = 1450\n.*script\.up.*\n.*ipv6\.address = fd00::5\/64\n.*ipv6\.gateway = fd00::1\n.*flags = up/,
  );
  const failed = lxcConfig(parse(PLAIN + net.replace('br0', 'br1')).config, { vmid: 100, version: 9, surroundings });
  t.deepEqual(failed, { failure: "bridge 'br1' does not exist", warnings: [] });
});

test('a template has no LXC configuration', (t) => {
  t.deepEqual(lxcConfig(parse(`${PLAIN}template: 1\n`).config, { vmid: 100, version: 9 }), { warnings: [] });
});
