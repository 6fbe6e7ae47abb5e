// Generates pages of docs/, alerts and dashboard, and the chart's schema from the sources: `npm run docs`.
import { readFile, writeFile } from 'node:fs/promises';
import { vmidRanges } from './backends/proxmox/guests/vmid-ranges.ts';
import { handlers } from './backends/registry.ts';
import { cliMarkdown } from './cli/reference.ts';
import { chartSchema } from './core/config/chart-schema.ts';
import { declareHandlers } from './core/config/handlers.ts';
import { configurationMarkdown } from './core/config/reference.ts';
import { alertRules } from './core/metrics/observability/alerts.ts';
import { dashboard } from './core/metrics/observability/dashboard.ts';
import { metricsMarkdown } from './core/metrics/reference.ts';
import { declareVmidRanges } from './core/config/vmid-ranges.ts';

const docs = new URL('../docs/', import.meta.url);
declareHandlers(handlers);
declareVmidRanges(vmidRanges);
await writeFile(new URL('cli.md', docs), cliMarkdown());
await writeFile(new URL('configuration.md', docs), configurationMarkdown());
await writeFile(new URL('metrics-reference.md', docs), metricsMarkdown());
// A chart has only the files below it.
for (const place of ['../deploy/observability/', '../charts/proxmox-lxcri/files/']) {
  await writeFile(new URL(`${place}alerts.yaml`, docs), alertRules());
  await writeFile(new URL(`${place}dashboard.json`, docs), dashboard());
}
const schema = new URL('../charts/proxmox-lxcri/values.schema.json', import.meta.url);
const names = handlers.map(({ name }) => name);
await writeFile(schema, chartSchema(await readFile(schema, 'utf8'), names));
