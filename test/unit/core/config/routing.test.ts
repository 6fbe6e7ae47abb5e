import test, { type ExecutionContext } from 'ava';
import type { Handler } from '../../../../src/backends/handler.ts';
import { handlers } from '../../../../src/backends/registry.ts';
import { ConfigError } from '../../../../src/core/config/config-error.ts';
import { declareHandlers } from '../../../../src/core/config/handlers.ts';
import { checkConfig } from '../../../../src/core/config/load.ts';
import { parseConfig } from '../../../../src/core/config/read-file.ts';
import { dumpConfigToml } from '../../../../src/core/config/render.ts';

const own = handlers.filter(({ name }) => name !== 'proxmox-lxc');
const NODE = `
[proxmox]
hosts = ["pve1.example"]
ca_file = "/etc/pve/pve-root-ca.pem"
token_id = "k8s@pve!node"
token_file = "/etc/proxmox-lxcri/token"
`;

function load(text: string, declared: readonly Handler[] = own) {
  declareHandlers(declared);
  return checkConfig([{ name: 'FILE', ...parseConfig('FILE', Buffer.from(text)) }]);
}

function problems(t: ExecutionContext, text: string): string {
  return t.throws(() => load(text, handlers), { instanceOf: ConfigError })?.message ?? '';
}

test('rules survive their dump', (t) => {
  const config = load(`
[[routing]]
name = "critical"
namespaces = ["kube-system", "infra-*"]
labels = { "example.com/tier" = "critical" }
annotations."example.com/image" = "*"
host_network = false
privileged = false
handler = "lxc"
[[routing]]
handler = "crun"
`);
  t.deepEqual(config.routing, [
    {
      name: 'critical',
      namespaces: ['kube-system', 'infra-*'],
      labels: { 'example.com/tier': 'critical' },
      annotations: { 'example.com/image': '*' },
      host_network: false,
      privileged: false,
      handler: 'lxc',
    },
    { name: '', handler: 'crun' },
  ]);
  t.deepEqual(load(dumpConfigToml(config)), config);
});

test('problems of rules name key and remedy', (t) => {
  const of = (rule: string) => problems(t, `[[routing]]\n${rule}\n`);
  t.is(of('handler = "kata"'), 'FILE:2: routing[0].handler: must be "lxc" or "crun" or "proxmox-lxc", not "kata"');
  const guests = /FILE:2: routing\[0\]\.handler: proxmox-lxc needs Proxmox VE: set proxmox\.hosts/;
  t.regex(of('handler = "proxmox-lxc"'), guests);
  t.is(of('privileged = true'), 'FILE:1: routing[0].handler: is missing');
  t.regex(of('handler = "lxc"\nnamespace = ["a"]'), /FILE:3: routing\[0\]\.namespace: unknown key.*"namespaces"/);
  t.regex(of('handler = "lxc"\nnamespaces = []'), /routing\[0\]\.namespaces: must not be empty/);
  t.regex(of('handler = "lxc"\nlabels = {}'), /routing\[0\]\.labels: must not be empty/);
  t.regex(of('handler = "lxc"\nlabels.a = true'), /routing\[0\]\.labels\.a: must be a string in quotes/);
  const hidden = '[[routing]]\nhandler = "lxc"\n[[routing]]\nhandler = "crun"\nprivileged = true\n';
  t.regex(problems(t, hidden), /^FILE:1: routing\[0\]: has no condition, .* make it the last rule/);
});

test('a Proxmox node has rules of its own', (t) => {
  const rules = [
    { name: 'host network', host_network: true, handler: 'lxc' },
    { name: 'privileged', privileged: true, handler: 'lxc' },
    { name: 'guests', handler: 'proxmox-lxc' },
  ];
  const config = load(NODE, handlers);
  t.deepEqual(config.routing, rules);
  t.is(config.runtime.default_handler, 'lxc');
  t.deepEqual(load(dumpConfigToml(config), handlers), config);

  t.deepEqual(load('', handlers).routing, [], 'no Proxmox');
  t.deepEqual(load(NODE, own).routing, [], 'no handler of guests');
  t.deepEqual(load(`routing = []\n${NODE}`, handlers).routing, [], 'no rules');
  t.deepEqual(load(`${NODE}[runtime]\ndefault_handler = "crun"\n`, handlers).routing, rules.slice(0, 2));
});
