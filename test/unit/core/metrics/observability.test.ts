import { readFile } from 'node:fs/promises';
import test from 'ava';
import { ALERTS, alertRules } from '../../../../src/core/metrics/observability/alerts.ts';
import { ROWS, dashboard } from '../../../../src/core/metrics/observability/dashboard.ts';
import { exportedMetrics } from '../../../../src/core/metrics/reference.ts';

const file = (path: string) => readFile(new URL(`../../../../${path}`, import.meta.url), 'utf8');
const queries = ROWS.flatMap(({ panels }) => panels.flatMap((panel) => panel.queries.map(([expr]) => expr)));
const expressions = [...queries, ...ALERTS.map(({ expr }) => expr)];

/** Labels that Prometheus adds, or that belong to a histogram. */
const ADDED = ['instance', 'job', 'le'];

/** Names of metrics and labels in an expression that no exporter has. */
function unknownIn(expr: string): string[] {
  const known = new Map(exportedMetrics().map((metric) => [metric.name, metric]));
  const used = [...expr.matchAll(/\b(?:proxmox_lxcri|process|nodejs)_\w+/g)].map(([name]) => {
    const base = name.replace(/_(bucket|count|sum)$/, '');
    return { name, metric: known.get(name) ?? (known.get(base)?.type === 'histogram' ? known.get(base) : undefined) };
  });
  const labels = new Set([...ADDED, ...used.flatMap(({ metric }) => metric?.labels ?? [])]);
  const selected = [...expr.matchAll(/[{,](\w+)(?:=|!)/g)].map(([, label = '']) => label);
  const grouped = [...expr.matchAll(/by \(([^)]*)\)/g)].flatMap(([, list = '']) => list.split(/,\s*/));
  return [
    ...used.filter(({ metric }) => metric === undefined).map(({ name }) => name),
    ...[...selected, ...grouped].filter((label) => !labels.has(label)),
  ];
}

test('panels and alerts use metrics and labels that the server exports', (t) => {
  t.true(expressions.length > 50);
  for (const expr of expressions) t.deepEqual(unknownIn(expr), [], expr);
  t.deepEqual(unknownIn('sum by (node) (proxmox_lxcri_podz{state="ready"})'), ['proxmox_lxcri_podz', 'state', 'node']);
});

test('every metric of the server is on the dashboard', (t) => {
  const left = exportedMetrics()
    .map(({ name }) => name)
    .filter((name) => name.startsWith('proxmox_lxcri_') && !expressions.some((expr) => expr.includes(name)));
  t.deepEqual(left, []);
});

test('the files of alerts and dashboard are current', async (t) => {
  for (const place of ['deploy/observability', 'charts/proxmox-lxcri/files']) {
    t.is(await file(`${place}/alerts.yaml`), alertRules(), `${place}/alerts.yaml: npm run docs`);
    t.is(await file(`${place}/dashboard.json`), dashboard(), `${place}/dashboard.json: npm run docs`);
  }
});

test('each alert has a test for promtool', async (t) => {
  const tests = await file('test/fixtures/alerts/alerts.test.yaml');
  const named = new Set([...tests.matchAll(/alertname: (\w+)/g)].map(([, name]) => name));
  t.deepEqual([...named].sort(), ALERTS.map(({ alert }) => alert).sort());
});
