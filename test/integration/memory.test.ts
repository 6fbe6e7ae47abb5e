import test from 'ava';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { boundCases } from '../fixtures/bounds/cases.ts';
import { measured } from '../fixtures/bounds/measure.ts';
import { clear } from '../fixtures/bounds/setting.ts';
import { serve } from '../unit/integrations/oci/scripted-server.ts';
import { ServerFixture } from './server-fixture.ts';

// One test for all: a server of its own would cost more than most cases.
test('the server stays within its memory at each bound', async (t) => {
  const server = await ServerFixture.make(t, '', { metrics: '127.0.0.1:9099' });
  const registry = await serve(t);
  const cheap = boundCases.filter(({ most }) => most !== undefined);
  // The heap keeps what was freed: those that take most come last.
  for (const { name, most = 0, prepare } of cheap.sort((a, b) => (a.most ?? 0) - (b.most ?? 0))) {
    const directory = join(server.directory, 'bounds');
    await mkdir(directory);
    const setting = { server, registry, directory };
    const {
      figures: { above, seconds },
      result,
    } = await measured(server.pid, await prepare(setting));
    t.log(`${above.toFixed(0)} MiB, ${seconds.toFixed(1)} s: ${name}: ${result.slice(0, 100)}`);
    t.true(above < most, `${above.toFixed(0)} MiB more, not ${String(most)}: ${name}`);
    await clear(setting);
    await rm(directory, { recursive: true });
  }
});
