import test, { type ExecutionContext } from 'ava';
import { handlers } from '../../../../src/backends/registry.ts';
import { vmidRanges } from '../../../../src/backends/proxmox/guests/vmid-ranges.ts';
import { ConfigError } from '../../../../src/core/config/config-error.ts';
import { declareHandlers } from '../../../../src/core/config/handlers.ts';
import { checkConfig } from '../../../../src/core/config/load.ts';
import { parseConfig } from '../../../../src/core/config/read-file.ts';
import { dumpConfigToml } from '../../../../src/core/config/render.ts';
import { declareVmidRanges } from '../../../../src/core/config/vmid-ranges.ts';

declareHandlers(handlers);
declareVmidRanges(vmidRanges);

const PIN = Array<string>(32).fill('AB').join(':');
const WHOLE = `
[proxmox]
hosts = ["pve1.example", "192.0.2.1:8007", "[2001:db8::1]:8006", "2001:db8::2"]
fingerprints = ["${PIN}"]
token_id = "k8s@pve!node"
token_file = "/etc/proxmox-lxcri/token"
pool = "k8s"
bridges = ["vmbr0", "zone/vnet"]
pools = [{ namespaces = ["team-a-*"], pool = "k8s/team-a" }]
[proxmox.vmids.pve1]
first = 100000
`;

function load(text: string) {
  return checkConfig([{ name: 'FILE', ...parseConfig('FILE', Buffer.from(text)) }]);
}

function problems(t: ExecutionContext, text: string): string {
  return t.throws(() => load(text), { instanceOf: ConfigError })?.message ?? '';
}

test('without a table there is no Proxmox', (t) => {
  t.deepEqual(load('').proxmox.hosts, []);
});

test('a table of Proxmox survives its dump', (t) => {
  const config = load(WHOLE);
  t.deepEqual(config.proxmox.vmids, { pve1: { first: 100_000, size: 300 } });
  t.like(config.proxmox, { storage: 'local-zfs', template_storage: 'local', local_root_ticket: false });
  t.deepEqual(load(dumpConfigToml(config)), config);
});

test('certificates cannot go unchecked', (t) => {
  const text = WHOLE.replace(/fingerprints.*/, '');
  t.regex(problems(t, text), /^FILE:2: proxmox\.ca_file: must name the authority .* proxmox\.fingerprints/);
  t.regex(problems(t, `${text}\n[proxmox.tls]\nverify = false`), /proxmox\.tls: unknown key; known keys: hosts, /);
  t.notThrows(() => load(WHOLE.replace(/fingerprints.*/, 'ca_file = "/etc/pve/pve-root-ca.pem"')));
});

test('problems of Proxmox name key and remedy', (t) => {
  const of = (from: string | RegExp, to: string) => problems(t, WHOLE.replace(from, to));
  t.regex(of(/hosts.*/, ''), /proxmox\.hosts: must name at least one host when proxmox\.fingerprints is set/);
  t.regex(of('"pve1.example"', '"https://pve1"'), /FILE:3: proxmox\.hosts\[0\]: must be a host name .* without "https/);
  t.regex(of(PIN, 'AB:CD'), /proxmox\.fingerprints\[0\]: must be a SHA-256 fingerprint .*pvenode cert info/);
  t.regex(of(/token_id.*/, ''), /proxmox\.token_id: must be set .*pveum user token add/);
  t.regex(of(/token_file.*/, ''), /proxmox\.token_file: must be set/);
  t.regex(of('k8s/team-a', 'a/b/c/d'), /proxmox\.pools\[0\]\.pool: must be the name of a resource pool/);
  t.regex(of('"team-a-*"', ''), /proxmox\.pools\[0\]\.namespaces: /);
  t.regex(of('zone/vnet', 'a/b/c'), /proxmox\.bridges\[1\]: must be a bridge/);
  t.regex(of('first = 100000', 'first = 5'), /proxmox\.vmids\.pve1\.first: must be at least 100/);
  t.regex(of('first = 100000', 'frist = 1'), /proxmox\.vmids\.pve1\.frist: unknown key; did you mean "first"\?/);
  const overlapping = `${WHOLE}[proxmox.vmids.pve2]\nfirst = 100299\n`;
  t.regex(
    problems(t, overlapping),
    /proxmox\.vmids\.pve2\.first: must not lie in the range of pve1 .* 100599 and above/,
  );
});

test('networks survive their dump, and their problems name key and remedy', (t) => {
  const network = `
[[proxmox.networks]]
namespaces = ["team-*"]
bridge = "zone/vnet"
tag = 20
subnets = ["10.20.0.0/16", "fd00:20::/64"]
gateways = ["fe80::1", "10.20.0.1"]
addresses = { pve1 = ["10.20.1.0/24", "fd00:20::1:0/112"], pve2 = ["10.20.2.0-10.20.2.255", "fd00:20::2:0/112"] }
`;
  const text = WHOLE.replace('[proxmox.vmids', `${network}$&`);
  const config = load(text);
  t.like(config.proxmox.networks[0], { tag: 20, rate: 0, mac_prefix: '', firewall: false, security_groups: [] });
  t.deepEqual(load(dumpConfigToml(config)), config);
  const of = (from: string, to: string) => problems(t, text.replace(from, to));
  t.regex(
    of('10.20.0.0/16', '10.20.0.1/16'),
    /proxmox\.networks\[0\]\.subnets\[0\]: must be a subnet, .* without host/,
  );
  t.regex(of('"fd00:20::/64"', '"10.30.0.0/16"'), /subnets\[1\]: must not be a second one of IPv4/);
  t.regex(of('"10.20.0.1"', '"10.30.0.1"'), /gateways\[1\]: must be an address of one of the subnets/);
  t.regex(of('"fe80::1"', '"10.20.0.2"'), /gateways\[1\]: must not be a second one of IPv4/);
  t.regex(of('"10.20.1.0/24"', '"10.21.1.0/24"'), /addresses\.pve1\[0\]: must lie in one of the subnets/);
  t.regex(of('"10.20.1.0/24"', '"10.20.1.0-"'), /addresses\.pve1\[0\]: must be addresses, such as/);
  t.regex(
    of('10.20.2.0-', '10.20.1.255-'),
    /pve2\[0\]: must not have addresses of pve1 \(10\.20\.1\.0-10\.20\.1\.255\)/,
  );
  t.regex(of(', "fd00:20::2:0/112"', ''), /addresses\.pve2: must have addresses of IPv6 as well/);
  t.regex(
    of('tag = 20', 'node_addresses = { pve1 = ["10.21.0.1"] }'),
    /node_addresses\.pve1\[0\]: must be an address of one of the subnets/,
  );
  t.regex(
    of('tag = 20', 'node_addresses = { pve1 = ["10.20.0.11"] }\nnode_routes = ["10.96.0.0/12"]'),
    /node_routes\[0\]: needs node_addresses\.pve2 of IPv4/,
  );
  t.regex(of('tag = 20', 'security_groups = ["web"]'), /security_groups: has no effect without firewall = true/);
  t.regex(of('tag = 20', 'mtu = 1000'), /mtu: must be at least 1280 for these subnets/);
  t.regex(of('tag = 20', 'mac_prefix = "BD:24:11"'), /mac_prefix: must be the first two or three bytes of a unicast/);
  t.regex(
    problems(t, `${text}${network.replace('team-*', 'x')}`),
    /networks\[1\]\.addresses\.pve1\[0\]: must not have addresses of pve1/,
  );
});

test('a secret in the wrong key is not repeated', (t) => {
  const secret = '8a1f0c1e-planted';
  for (const key of ['token_id = "k8s@pve!node', 'token_file = "'])
    t.false(
      problems(t, WHOLE.replace(new RegExp(`${key.split(' ')[0] ?? ''} = .*`), `${key}=${secret}"`)).includes(secret),
    );
  t.false(problems(t, `${WHOLE}\n[proxmox.vmids.pve2]\ntoken_secret = "${secret}"`).includes(secret));
});
