import test from 'ava';
import { EarlierBoots, type EarlierBootsParts } from '../../../../src/core/lifecycle/pods/earlier-boots.ts';

const logger = { debug() {}, info() {}, warn() {}, error() {}, with: () => logger };
const RECORDS = [
  { id: 'now', handler: 'guests', phase: 'stopped', bootId: 'boot-2' },
  { id: 'creating', handler: 'guests', phase: 'creating', bootId: 'boot-1' },
  { id: 'gone', handler: 'guests', phase: 'stopped', bootId: 'boot-1' },
  { id: 'locked', handler: 'guests', phase: 'stopped', bootId: 'boot-1' },
  { id: 'local', handler: 'plain', phase: 'stopped', bootId: 'boot-1' },
  { id: 'unknown', handler: 'none', phase: 'stopped', bootId: 'boot-1' },
];

/** @param sleep of the clock */
function make(release: (id: string) => Promise<void>, sleep: (ms: number) => Promise<void>): EarlierBoots {
  const platform = { facts: { bootId: 'boot-2' } };
  const backends = new Map([
    ['guests', { platform, sandboxes: { release: ({ spec }: { spec: { id: string } }) => release(spec.id) } }],
    ['plain', { platform, sandboxes: {} }],
  ]);
  return new EarlierBoots({
    records: { list: () => RECORDS, get: (id: string) => RECORDS.find((record) => record.id === id) },
    backends,
    reference: ({ id }: { id: string }) => ({ spec: { id } }),
    exclusive: (_: string, task: () => Promise<void>) => task(),
    clock: { now: () => 0n, monotonic: () => 0n, sleep },
    logger,
  } as unknown as EarlierBootsParts);
}

test('pods of an earlier boot are released, and what fails again', async (t) => {
  const tried: string[] = [];
  let succeed = () => {};
  const success = new Promise<void>((resolve) => (succeed = resolve));
  const boots = make(
    (id) => {
      tried.push(id);
      if (id !== 'locked') return Promise.resolve();
      if (tried.length < 4) return Promise.reject(new Error('CT is locked (backup)'));
      return Promise.resolve(succeed());
    },
    (ms) => (ms < 20_000 ? Promise.resolve() : new Promise(() => {})),
  );
  await boots.release();
  t.deepEqual(tried, ['gone', 'locked']);
  boots.keep(new AbortController().signal);
  await success;
  t.deepEqual(tried, ['gone', 'locked', 'locked', 'locked']);
});

test('a cluster that does not answer holds the server up for a while', async (t) => {
  const pauses: number[] = [];
  const boots = make(
    () => new Promise<void>(() => {}),
    (ms) => Promise.resolve(void pauses.push(ms)),
  );
  await boots.release();
  t.deepEqual(pauses, [20_000]);
});
