import test from 'ava';
import { Retries } from '../../../../src/core/lifecycle/retries.ts';
import type { Clock } from '../../../../src/core/model/clock.ts';

const logger = { debug() {}, info() {}, warn() {}, error() {}, with: () => logger };

test('a failure is retried with growing delays until success', async (t) => {
  const pauses: number[] = [];
  const clock: Clock = {
    now: () => 0n,
    monotonic: () => 0n,
    sleep: (ms) => {
      pauses.push(ms);
      return Promise.resolve();
    },
  };
  const tries: string[] = [];
  let ended = () => {};
  const end = new Promise<void>((resolve) => (ended = resolve));
  const retries = new Retries(
    (id) => {
      tries.push(id);
      // Like a stop that fails once more.
      retries.schedule(id);
      if (tries.length < 12) return Promise.reject(new Error('not yet'));
      ended();
      return Promise.resolve();
    },
    { clock, logger },
  );
  retries.schedule('a');
  retries.schedule('a');
  await Promise.resolve();
  t.deepEqual(tries, [], 'before the start nothing runs');
  retries.start(new AbortController().signal);
  await end;
  t.deepEqual(tries, Array<string>(12).fill('a'));
  t.deepEqual(
    pauses,
    [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300].map((seconds) => seconds * 1000),
  );
});

test('the signal stops all retries', async (t) => {
  const controller = new AbortController();
  let asleep = () => {};
  const sleeping = new Promise<void>((resolve) => (asleep = resolve));
  const clock: Clock = {
    now: () => 0n,
    monotonic: () => 0n,
    sleep: (_, signal) =>
      new Promise((_resolve, reject) => {
        signal?.addEventListener('abort', () => {
          reject(new Error('aborted'));
        });
        asleep();
      }),
  };
  const retries = new Retries(() => Promise.reject(new Error('tried')), { clock, logger });
  retries.start(controller.signal);
  retries.schedule('a');
  await sleeping;
  controller.abort();
  retries.schedule('b');
  t.pass('and nothing goes on that would keep the process');
});
