import test, { type ExecutionContext } from 'ava';
import { handlers } from '../../../../src/backends/registry.ts';
import { ConfigError } from '../../../../src/core/config/config-error.ts';
import { declareHandlers } from '../../../../src/core/config/handlers.ts';
import { checkConfig } from '../../../../src/core/config/load.ts';
import { parseConfig } from '../../../../src/core/config/read-file.ts';
import { dumpConfigToml } from '../../../../src/core/config/render.ts';
import { bare } from '../../../fixtures/handler/bare/handler.ts';

const own = handlers.filter(({ name }) => name !== 'proxmox-lxc');
/** As the handler of Proxmox guests will be declared. */
const withGuests = [...own, { ...bare, name: 'proxmox-lxc', stateDirectory: 'guests' }];
const NODE = `
[proxmox]
hosts = ["pve1.example"]
ca_file = "/etc/pve/pve-root-ca.pem"
token_id = "k8s@pve!node"
token_file = "/etc/proxmox-lxcri/token"
`;

function load(text: string, declared = own) {
  declareHandlers(declared);
  return checkConfig([{ name: 'FILE', ...parseConfig('FILE', Buffer.from(text)) }]);
}

function problems(t: ExecutionContext, text: string): string {
  return t.throws(() => load(text), { instanceOf: ConfigError })?.message ?? '';
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
  t.is(of('handler = "kata"'), 'FILE:2: routing[0].handler: must be "lxc" or "crun", not "kata"');
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
  const config = load(NODE, withGuests);
  t.deepEqual(config.routing, rules);
  t.is(config.runtime.default_handler, 'lxc');
  t.deepEqual(load(dumpConfigToml(config), withGuests), config);

  t.deepEqual(load('', withGuests).routing, [], 'no Proxmox');
  t.deepEqual(load(NODE, own).routing, [], 'no handler of guests');
  t.deepEqual(load(`routing = []\n${NODE}`, withGuests).routing, [], 'no rules');
  t.deepEqual(load(`${NODE}[runtime]\ndefault_handler = "crun"\n`, withGuests).routing, rules.slice(0, 2));
});
