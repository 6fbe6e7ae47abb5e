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

test('a secret in the wrong key is not repeated', (t) => {
  const secret = '8a1f0c1e-planted';
  for (const key of ['token_id = "k8s@pve!node', 'token_file = "'])
    t.false(
      problems(t, WHOLE.replace(new RegExp(`${key.split(' ')[0] ?? ''} = .*`), `${key}=${secret}"`)).includes(secret),
    );
  t.false(problems(t, `${WHOLE}\n[proxmox.vmids.pve2]\ntoken_secret = "${secret}"`).includes(secret));
});
