import test from 'ava';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Kind, campaign } from '../fixtures/mutations/campaign.ts';
import { configuration } from '../fixtures/mutations/configuration.ts';
import { documents } from '../fixtures/mutations/documents.ts';
import { frames } from '../fixtures/mutations/frames.ts';
import { tarHeaders } from '../fixtures/mutations/tar.ts';
import { PROPERTY_SEED } from '../lib/property-seed.ts';

const COUNT = Number(process.env['MUTATIONS'] ?? 2000);

const kinds: Record<string, (directory: string) => Kind | Promise<Kind>> = {
  'tar headers': tarHeaders,
  frames,
  configurations: configuration,
  documents,
};

for (const [name, load] of Object.entries(kinds)) {
  test.serial(`mutated ${name} are accepted or refused with documented errors`, async (t) => {
    t.timeout(12 * 3_600_000);
    const directory = await mkdtemp(join(tmpdir(), 'mutations-'));
    t.teardown(() => rm(directory, { recursive: true, force: true }));
    const before = process.cpuUsage();
    const { read, refused, grownBytes } = await campaign(await load(directory), COUNT, PROPERTY_SEED);
    const { user, system } = process.cpuUsage(before);
    const seconds = ((user + system) / 1e6).toFixed(1);
    t.log(
      `${String(COUNT)} with seed ${String(PROPERTY_SEED)}: ${String(read)} read, ${String(refused)} refused, ` +
        `${String(Math.round(grownBytes / 1024))} KiB more, ${seconds} s of CPU, peak ${String(process.resourceUsage().maxRSS)} KiB`,
    );
    // Mutations that are all refused at once, or all harmless, would show nothing.
    t.true(Math.min(read, refused) > COUNT / 20, `${String(read)} read, ${String(refused)} refused`);
  });
}
