// A plugin of NRI on an inherited connection, for tests; argument: the file to which it appends its calls. Its pid is beside it.
import { appendFileSync, writeFileSync } from 'node:fs';
import { Socket } from 'node:net';
import { TestPlugin } from './nri-plugin.ts';

const [, , calls = ''] = process.argv;
writeFileSync(`${calls}.pid`, String(process.pid));
const write = (line: string) => {
  appendFileSync(calls, `${line}\n`);
  return {};
};
const plugin = new TestPlugin(new Socket({ fd: Number(process.env['NRI_PLUGIN_SOCKET']) }), {
  configure: ({ config }) => write(`Configure ${config}`),
  synchronize: () => write('Synchronize'),
  runPodSandbox: ({ pod }) => write(`RunPodSandbox ${pod?.id ?? ''}`),
});
await plugin.register('99-ignored');
await plugin.ended;
