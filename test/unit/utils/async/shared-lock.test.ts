import test from 'ava';
import { SharedLock } from '../../../../src/utils/async/shared-lock.ts';

test('shared tasks run concurrently, exclusive ones alone', async (t) => {
  const lock = new SharedLock();
  const steps: string[] = [];
  const gates = new Map<string, () => void>();
  const task = (name: string) => async () => {
    steps.push(`${name} begins`);
    await new Promise<void>((resolve) => gates.set(name, resolve));
    steps.push(`${name} ends`);
  };
  const settle = () => new Promise((resolve) => setImmediate(resolve));
  const open = async (name: string) => {
    gates.get(name)?.();
    await settle();
  };
  const all = [
    lock.shared(task('a')),
    lock.shared(task('b')),
    lock.exclusive(task('x')),
    lock.exclusive(task('y')),
    lock.shared(task('c')),
  ];
  await settle();
  t.deepEqual(steps, ['a begins', 'b begins']);
  await open('b');
  await open('a');
  t.deepEqual(steps.slice(2), ['b ends', 'a ends', 'x begins']);
  await open('x');
  t.is(steps.length, 7, 'one at a time');
  t.is(steps.at(-1), 'y begins');
  await open('y');
  await open('c');
  await Promise.all(all);
  t.deepEqual(steps.slice(-3), ['y ends', 'c begins', 'c ends']);
});

test('a failed task releases the lock', async (t) => {
  const lock = new SharedLock();
  const fail = () => Promise.reject(new Error('no'));
  await t.throwsAsync(lock.exclusive(fail), { message: 'no' });
  await t.throwsAsync(lock.shared(fail), { message: 'no' });
  t.is(await lock.exclusive(() => Promise.resolve(1)), 1);
  t.is(await lock.shared(() => Promise.resolve(2)), 2);
});
