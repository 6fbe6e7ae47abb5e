import test from 'ava';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse, parseAllDocuments } from 'yaml';
import { CommandError, run } from '../../src/host/processes/run.ts';

const CHART = 'charts/proxmox-lxcri';

async function helm(...args: string[]): Promise<string> {
  const tools = (await run('test/tools/build', [])).stdout.trim().split('\n').at(-1) ?? '';
  return (await run(join(tools, 'helm'), args)).stdout;
}

const template = (...args: string[]) => helm('template', 'here', CHART, '--kube-version', '1.34.0', ...args);

test('helm lint accepts the chart', async (t) => {
  t.regex(
    await helm('lint', '--strict', '--kube-version', '1.34.0', CHART),
    /1 chart\(s\) linted, 0 chart\(s\) failed/,
  );
});

test('the chart creates a RuntimeClass for each handler', async (t) => {
  const text = await template();
  const handlers = [...text.matchAll(/^handler: (.*)$/gm)].map((match) => match[1]);
  t.deepEqual(handlers, ['lxc', 'crun', 'proxmox-lxc']);
  t.is(text.match(/^kind: RuntimeClass$/gm)?.length, 3);
  t.regex(text, /overhead:\n {2}podFixed:\n {4}cpu: 10m\n {4}memory: 8Mi\n/);
  t.notRegex(text, /scheduling:/);
});

test('the chart selects nodes and refuses unknown handlers', async (t) => {
  t.regex(await template('--set', 'nodeSelector.pool=pve'), /scheduling:\n {2}nodeSelector:\n {4}pool: pve\n/);
  const error = await t.throwsAsync(template('--set', 'runtimeClasses[0].handler=runc'), { instanceOf: CommandError });
  t.regex(error.message, /handler/);
});

const classes = (...list: object[]) => ['--set-json', `runtimeClasses=${JSON.stringify(list)}`];
const broken: [what: string, classes: object[], named: RegExp][] = [
  ['a name with an empty label', [{ name: 'a..b', handler: 'lxc' }], /runtimeClasses[./]0[./]name/],
  [
    'a name given twice',
    [
      { name: 'a', handler: 'lxc' },
      { name: 'a', handler: 'crun' },
    ],
    /runtimeClasses: two have the name "a"; give each its own/,
  ],
  ['no quantity', [{ name: 'a', handler: 'lxc', overhead: { cpu: 'abc' } }], /runtimeClasses[./]0[./]overhead[./]cpu/],
  ['an unknown unit', [{ name: 'a', handler: 'lxc', overhead: { memory: '8 MB' } }], /overhead[./]memory/],
];
for (const [what, list, named] of broken) {
  test(`the chart refuses ${what}`, async (t) => {
    t.regex((await t.throwsAsync(template(...classes(...list)), { instanceOf: CommandError })).message, named);
  });
}

test('names of digits are strings; there may be no class', async (t) => {
  const numeric = await template(...classes({ name: '12', handler: 'lxc', overhead: { cpu: 1, memory: '0.5Gi' } }));
  t.regex(numeric, /\n {2}name: "12"\n[^]*\n {4}cpu: 1\n {4}memory: 0\.5Gi\n/);
  for (const none of ['runtimeClasses=null', 'runtimeClasses=[]']) {
    t.notRegex(await template('--set-json', none), /^kind:/m);
    // Renders the notes, too.
    t.regex(await helm('lint', '--strict', '--set-json', none, CHART), / 0 chart\(s\) failed/);
  }
});

interface Rendered {
  kind: string;
  spec: Record<string, unknown>;
  data: Record<string, string>;
  addressType?: string;
}

test('the chart has monitors, alerts and a dashboard where asked for', async (t) => {
  t.notRegex(await template(), /^kind: (Service|ConfigMap|ScrapeConfig|ServiceMonitor|PrometheusRule)$/m);
  const on = ['metrics.service', 'metrics.serviceMonitor', 'metrics.scrapeConfig', 'prometheusRule', 'dashboard'];
  const set = [
    'metrics.addresses={10.0.0.1,fd00::1}',
    'nodeSelector.pool=pve',
    ...on.map((each) => `${each}.enabled=true`),
  ];
  const documents = parseAllDocuments(await template(...set.flatMap((value) => ['--set', value])));
  const all = documents.map((document) => document.toJS() as Rendered);
  const one = (kind: string) => all.find((each) => each.kind === kind);
  t.deepEqual(
    all.filter(({ kind }) => kind === 'EndpointSlice').map(({ addressType }) => addressType),
    ['IPv4', 'IPv6'],
  );
  t.deepEqual(one('ServiceMonitor')?.spec['endpoints'], [{ port: 'metrics', scheme: 'http', interval: '30s' }]);
  t.is(one('ScrapeConfig')?.spec['scheme'], 'HTTP');
  const rules = parse(await readFile('deploy/observability/alerts.yaml', 'utf8')) as unknown;
  t.deepEqual(one('PrometheusRule')?.spec, rules as Record<string, unknown>);
  const dashboard = await readFile('deploy/observability/dashboard.json', 'utf8');
  t.deepEqual(JSON.parse(one('ConfigMap')?.data['proxmox-lxcri.json'] ?? ''), JSON.parse(dashboard));
  for (const [value, named] of [
    ['metrics.service.enabled=true', /set metrics.addresses/],
    ['metrics.serviceMonitor.enabled=true', /set metrics.service.enabled/],
    ['metrics.port=0', /metrics[./]port/],
  ] as const)
    t.regex((await t.throwsAsync(template('--set', value), { instanceOf: CommandError })).message, named);
});
