import test from 'ava';
import { PROPERTY_SEED } from '../../lib/property-seed.ts';
import { type Certificate, makeCertificate } from '../../pve/http/certificate.ts';
import { runSequence, type Tally } from './sequence.ts';

const COUNT = Number(process.env['SEQUENCES'] ?? 8);
const AT_ONCE = 8;
/** Seeds that found a fault: 20261132 a failed look at a task that was taken for the task's own failure. */
const FOUND = [20_261_132];

let certificate: Certificate;
test.before(async () => {
  certificate = await makeCertificate('pve1');
});

for (const seed of FOUND)
  test(`the sequence of seed ${seed}`, async (t) => {
    t.true((await runSequence(seed, certificate)).operations > 0);
  });

test(`${COUNT} random sequences of guest operations with faults`, async (t) => {
  t.timeout(12 * 3_600_000);
  const sum: Tally = { operations: 0, disturbed: 0, doneAllTheSame: 0 };
  const failures: string[] = [];
  let next = 0;
  const work = async (): Promise<void> => {
    while (next < COUNT) {
      try {
        const tally = await runSequence(PROPERTY_SEED + next++, certificate);
        for (const key of ['operations', 'disturbed', 'doneAllTheSame'] as const) sum[key] += tally[key];
      } catch (error) {
        failures.push((error as Error).message);
      }
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  t.log(`seed ${PROPERTY_SEED}: ${JSON.stringify(sum)}, ${failures.length} failed`);
  t.deepEqual(failures.slice(0, 5), []);
  t.true(sum.doneAllTheSame > 0);
});
