import test from 'ava';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bfcFiles, bfcPasswords } from '../fixtures/mutations/bfc.ts';
import { type Kind, campaign } from '../fixtures/mutations/campaign.ts';
import { configuration } from '../fixtures/mutations/configuration.ts';
import { documents } from '../fixtures/mutations/documents.ts';
import { frames } from '../fixtures/mutations/frames.ts';
import { tarHeaders } from '../fixtures/mutations/tar.ts';
import { PROPERTY_SEED } from '../lib/property-seed.ts';

interface Campaign {
  load: (directory: string) => Kind | Promise<Kind>;
  /** Mutations, unless MUTATIONS asks for more. */
  count?: number;
  /** Whatever MUTATIONS asks for. */
  most?: number;
}

const kinds: Record<string, Campaign> = {
  'tar headers': { load: tarHeaders },
  frames: { load: frames },
  configurations: { load: configuration },
  documents: { load: documents },
  'BFC files': { load: bfcFiles, count: 20_000 },
  'BFC passwords': { load: bfcPasswords, count: 20, most: 1000 },
};

for (const [name, { load, count: usual = 2000, most = Infinity }] of Object.entries(kinds)) {
  const count = Math.min(Number(process.env['MUTATIONS'] ?? usual), most);
  test.serial(`mutated ${name} are accepted or refused with documented errors`, async (t) => {
    t.timeout(12 * 3_600_000);
    const directory = await mkdtemp(join(tmpdir(), 'mutations-'));
    t.teardown(() => rm(directory, { recursive: true, force: true }));
    const before = process.cpuUsage();
    const { read, refused, grownBytes } = await campaign(await load(directory), count, PROPERTY_SEED);
    const { user, system } = process.cpuUsage(before);
    const seconds = ((user + system) / 1e6).toFixed(1);
    t.log(
      `${String(count)} with seed ${String(PROPERTY_SEED)}: ${String(read)} read, ${String(refused)} refused, ` +
        `${String(Math.round(grownBytes / 1024))} KiB more, ${seconds} s of CPU, peak ${String(process.resourceUsage().maxRSS)} KiB`,
    );
    // Mutations that are all refused at once, or all harmless, would show nothing.
    t.true(Math.min(read, refused) > count / 20, `${String(read)} read, ${String(refused)} refused`);
  });
}
