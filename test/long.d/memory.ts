// Drives a server to each bound of docs/security.md and prints its memory; arguments: [PATTERN of the bounds' names].
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { boundCases } from '../fixtures/bounds/cases.ts';
import { clear } from '../fixtures/bounds/setting.ts';
import { measured } from '../fixtures/bounds/measure.ts';
import { ServerFixture } from '../integration/server-fixture.ts';
import type { Owner } from '../integration/server-fixture.ts';
import { serve } from '../unit/integrations/oci/scripted-server.ts';

const [pattern = ''] = process.argv.slice(2);
const steps: (() => unknown)[] = [];
const log = (...values: unknown[]) => void process.stderr.write(`${values.map(String).join(' ')}\n`);
const owner: Owner = { teardown: (step) => void steps.push(step), log: log as Owner['log'], passed: true };
const titles = ['idle', 'above', 'helpers', 'cpu', 'helpers', ''];
const line = (figures: string[]) => figures.map((figure) => figure.padStart(8)).join('');

try {
  const server = await ServerFixture.make(owner, '', { metrics: '127.0.0.1:9099' });
  console.log(`${line(['MiB:', '', '', 'seconds:'])}\n${line(titles)}`);
  for (const { name, prepare } of boundCases) {
    if (!new RegExp(pattern, 'i').test(name)) continue;
    // Its heap keeps what the case before took.
    await server.end('SIGTERM');
    await server.start();
    const directory = join(server.directory, 'bounds');
    await mkdir(directory);
    const registry = await serve(owner);
    const drive = await prepare({ server, registry, directory });
    const { figures, result } = await measured(server.pid, drive);
    const { idle, above, helpers, seconds, helperSeconds } = figures;
    const shown = [idle, above, helpers].map((figure) => figure.toFixed(0));
    console.log(
      line([...shown, seconds.toFixed(1), helperSeconds.toFixed(1)]),
      ` ${name}\n${' '.repeat(42)}${shorten(result)}`,
    );
    await clear({ server, registry, directory });
    await rm(directory, { recursive: true });
  }
} finally {
  for (const step of steps.reverse()) await step();
}

/** The start of an outcome, with the starts of its digests. */
function shorten(outcome: string): string {
  return outcome.replaceAll(/(sha256:[0-9a-f]{8})[0-9a-f]{56}/g, '$1').slice(0, 200);
}
