// A node for a person: test/node/up runs it in test/sandbox; arguments are DIRECTORY BINARIES IMAGES HANDLER [standalone].
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import '../lib/native.ts';
import { OneNode } from './one-node.ts';

const [directory, binaries, images, handler, standalone] = process.argv.slice(2);
const stopped = new Promise<void>((resolve) => {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => resolve());
});
await writeFile(join(directory!, 'main.pid'), String(process.pid));
const node = await OneNode.start({
  directory: directory!,
  binaries: binaries!,
  images: images!,
  handler: handler!,
  standalone: standalone === 'standalone',
});
await writeFile(join(directory!, 'ready'), '');
// Signals alone do not keep the process alive.
const alive = setInterval(() => undefined, 2 ** 30);
await stopped;
clearInterval(alive);
await node.stop();
