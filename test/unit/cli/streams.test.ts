import test from 'ava';
import fc from 'fast-check';
import { exitCodeOf } from '../../../src/cli/exit-code.ts';
import { DetachFilter, parseDetachKeys } from '../../../src/cli/stream/detach-keys.ts';
import { cli } from './harness.ts';

test('Detach keys are parsed as docker writes them', (t) => {
  t.deepEqual([...parseDetachKeys('ctrl-p,ctrl-q')], [16, 17]);
  t.deepEqual([...parseDetachKeys('a,CTRL-[,~')], [97, 27, 126]);
  t.is(parseDetachKeys('').length, 0);
  for (const text of ['ctrl-', 'ctrl-pq', 'ab', 'a,', ' ']) {
    t.throws(() => parseDetachKeys(text), { message: /--detach-keys: must be/ });
  }
});

test('Input passes unchanged up to the detach keys', (t) => {
  const key = fc.constantFrom(1, 2);
  fc.assert(
    fc.property(
      fc.array(key, { minLength: 1, maxLength: 5 }),
      fc.array(fc.array(key), { maxLength: 20 }),
      (keys, cuts) => {
        const filter = new DetachFilter(Buffer.from(keys));
        const typed = Buffer.from(cuts.flat());
        const found = typed.indexOf(Buffer.from(keys));
        const passed: Buffer[] = [];
        let detached = false;
        for (const cut of cuts) {
          if (detached) break;
          const { pass, detach } = filter.push(Buffer.from(cut));
          passed.push(pass);
          detached = detach;
        }
        t.is(detached, found >= 0);
        const all = Buffer.concat(passed);
        // A possible start of the detach keys is buffered.
        if (detached) t.true(all.equals(typed.subarray(0, found)));
        else t.true(typed.subarray(0, all.length).equals(all) && typed.length - all.length < keys.length);
      },
    ),
    { numRuns: 1000 },
  );
});

test("Errors in containers have docker's and podman's exit codes", async (t) => {
  const code = (message: string) => exitCodeOf(new Error(message));
  t.is(code('executable file `/no` not found: No such file or directory'), 127);
  t.is(code('exec: "sh": executable file not found in $PATH'), 127);
  t.is(code('open executable: Permission denied'), 126);
  t.is(code('exec /x: exec format error'), 126);
  t.is(code('container "x" not found'), 125);
  for (const line of [['exec'], ['run', '--nope'], ['attach'], ['exec', 'x', 'y', '--address', 'z']]) {
    t.is((await cli(line)).code, 125, line.join(' '));
  }
  t.is((await cli(['exec', '--help'])).code, 0);
});
