import test from 'ava';
import fc from 'fast-check';
import { steadyClock } from '../../../../src/utils/time/steady-clock.ts';
import { systemClock } from '../../../../src/utils/time/system-clock.ts';

const MS = 1_000_000n;
const HOUR = 3_600_000n * MS;

test('time increases strictly and follows the wall clock', (t) => {
  const step = fc.record({
    passes: fc.bigInt({ min: 0n, max: 10_000n * MS }),
    isSet: fc.bigInt({ min: -HOUR, max: HOUR }),
    jumps: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 50 }), (steps) => {
      let monotonic = 12_345n;
      let offset = 1_700_000_000_000n * MS;
      // Date.now() has only milliseconds.
      const wall = () => ((offset + monotonic) / MS) * MS;
      const now = steadyClock({ wall, monotonic: () => monotonic });
      let last = now();
      for (const { passes, isSet, jumps } of steps) {
        monotonic += passes;
        if (jumps) offset += isSet;
        const time = now();
        t.true(time > last);
        // At the wall clock, or, after it was set back, advancing at half the speed, but never behind it.
        const slow = last + passes / 2n + 1n;
        const most = wall() > slow ? wall() : slow;
        t.true(time - most <= 101n * MS && wall() - time <= 101n * MS);
        last = time;
      }
    }),
  );
});

test('time passes at half speed while it is ahead', (t) => {
  let monotonic = 0n;
  let set = HOUR;
  const now = steadyClock({ wall: () => set + monotonic, monotonic: () => monotonic });
  const first = now();
  set = 0n;
  for (const seconds of [1n, 600n, 3000n]) {
    const before = now();
    monotonic += seconds * 1000n * MS;
    const passed = now() - before;
    const half = (seconds * 1000n * MS) / 2n;
    t.true(passed <= half && half - passed <= 1n);
  }
  monotonic += 2n * HOUR;
  t.true(now() > first && now() - monotonic <= 101n * MS);
});

test('durations have nanosecond precision', (t) => {
  let monotonic = 7n;
  const now = steadyClock({ wall: () => 5n * MS + (monotonic / MS) * MS, monotonic: () => monotonic });
  const first = now();
  monotonic += 999_999n;
  t.is(now() - first, 999_999n);
  monotonic += 3n;
  t.is(now() - first, 1_000_002n);
});

test('the monotonic clock advances near the wall clock', (t) => {
  let last = 0n;
  for (let count = 0; count < 10_000; count += 1) {
    const now = systemClock.now();
    t.true(now > last);
    last = now;
  }
  // Within these bounds, plus a millisecond that Date.now() omits; this process may stall in between.
  const allowed = 101n * MS;
  const before = BigInt(Date.now()) * MS;
  const now = systemClock.now();
  t.true(now > before - allowed && now < BigInt(Date.now()) * MS + allowed);
});
