import { existsSync, readdirSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { makeCertificate } from '../pve/http/certificate.ts';
import { differences } from '../pve/replay/compare.ts';
import { replay, type Outcome } from '../pve/replay/session.ts';
import { parseTranscript } from '../pve/replay/transcript.ts';
import { Tickets } from '../pve/state/tickets.ts';

const transcripts = join(import.meta.dirname, '../../../shared/data/pve-transcripts');

/** Adds what came of one transcript to the whole. */
function add(whole: Outcome, part: Outcome): void {
  whole.replayed += part.replayed;
  whole.excepted.push(...part.excepted);
  whole.failures.push(...part.failures);
}

test('a value that waits is compared, a secret is not', (t) => {
  const pending = (value: string) => [{ key: 'hostname', value }];
  t.is(differences(pending('one'), pending('two')).length, 1);
  const token = (digit: string) => ({ value: `0000000${digit}-1111-2222-3333-444444444444` });
  t.deepEqual(differences(token('1'), token('2')), []);
});

const there = existsSync(transcripts);
if (!there) console.log('# skipped: no recorded exchanges beside the checkout (../shared/data/pve-transcripts)');

(there ? test : test.skip)('the simulated node answers as recorded', async (t) => {
  const keys = await mkdtemp(join(tmpdir(), 'pve-replay-keys-'));
  t.teardown(() => rm(keys, { recursive: true, force: true }));
  await mkdir(join(keys, 'etc/pve'), { recursive: true });
  new Tickets(join(keys, 'etc/pve'));
  const certificate = await makeCertificate('pve1');
  const whole: Outcome = { replayed: 0, excepted: [], failures: [] };
  const only = process.env['PVE_TRANSCRIPT'];
  for (const file of readdirSync(transcripts).filter(
    (name) => name.endsWith('.txt') && (only === undefined || name === only),
  )) {
    const exchanges = parseTranscript(join(transcripts, file), file);
    add(whole, await replay(exchanges, certificate, keys));
  }
  t.log(`${whole.replayed} exchanges replayed, ${whole.excepted.length} excepted:`);
  for (const [title, reason] of whole.excepted) t.log(`${title}: ${reason}`);
  t.deepEqual(whole.failures, [], `${whole.failures.length} differences`);
});
