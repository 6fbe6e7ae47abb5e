import test from 'ava';
import { Slots } from '../../../../src/utils/async/slots.ts';
import { type Certificates, makeCertificates } from './certificates.ts';
import { clientOf, type Reply, servePve } from './scripted-pve.ts';

let certificates: Certificates;
let dispose: () => Promise<void>;
test.before(async () => {
  ({ dispose, ...certificates } = await makeCertificates());
});
test.after.always(() => dispose());

/** Work that ends when `finish` is called, and notes when it begins. */
function steps(slots: Slots) {
  const begun: string[] = [];
  const open: (() => void)[] = [];
  const add = (key: string, name: string, signal?: AbortSignal) =>
    slots.run(key, signal, async () => {
      begun.push(name);
      await new Promise<void>((resolve) => open.push(resolve));
    });
  /** Ends `count` pieces of work in the order in which they begin. */
  const finish = async (count: number) => {
    for (let ended = 0; ended < count; ended++) {
      while (open.length === 0) await new Promise((resolve) => setImmediate(resolve));
      open.shift()?.();
    }
  };
  return { begun, add, finish };
}

test('keys take turns', async (t) => {
  const { begun, add, finish } = steps(new Slots(1));
  const all = [
    ...['a1', 'a2', 'a3'].map((name) => add('a', name)),
    ...['b1', 'b2'].map((name) => add('b', name)),
    add('c', 'c1'),
  ];
  await finish(all.length);
  await Promise.all(all);
  t.deepEqual(begun, ['a1', 'a2', 'b1', 'c1', 'a3', 'b2']);
});

test('one key is first come, first served', async (t) => {
  const { begun, add, finish } = steps(new Slots(2));
  const all = ['1', '2', '3', '4', '5'].map((name) => add('', name));
  await finish(all.length);
  await Promise.all(all);
  t.deepEqual(begun, ['1', '2', '3', '4', '5']);
});

test('an abort leaves the queue and loses no place', async (t) => {
  const { begun, add, finish } = steps(new Slots(1));
  const abort = new AbortController();
  const reason = new Error('gone');
  const first = add('a', '1');
  const second = add('a', '2', abort.signal);
  const third = add('b', '3');
  abort.abort(reason);
  t.is(await t.throwsAsync(second), reason);
  await finish(2);
  await Promise.all([first, third]);
  t.deepEqual(begun, ['1', '3']);
});

test('a place given in the moment of an abort goes on', async (t) => {
  // Between the end of the first and the begin of the second lie a few turns of the event loop.
  for (let turns = 0; turns < 12; turns++) {
    const slots = new Slots(1);
    const abort = new AbortController();
    const end = Promise.withResolvers<undefined>();
    const first = slots.run('', undefined, () => end.promise);
    const second = slots.run('', abort.signal, async () => 'begun').catch(() => 'aborted');
    const third = slots.run('', undefined, async () => 3);
    end.resolve(undefined);
    for (let turn = 0; turn < turns; turn++) await Promise.resolve();
    abort.abort();
    await first;
    t.true(['begun', 'aborted'].includes(await second));
    t.is(await third, 3);
    t.is(await slots.run('', undefined, async () => 4), 4);
  }
});

test('a failure frees the place', async (t) => {
  const slots = new Slots(1);
  await t.throwsAsync(slots.run('', undefined, () => Promise.reject(new Error('x'))));
  t.is(await slots.run('', undefined, async () => 1), 1);
});

test('calls are bounded, changes do not block reads', async (t) => {
  const waiting: (() => void)[] = [];
  let [now, most] = [0, 0];
  const pve = await servePve(t, certificates, async ({ method }): Promise<Reply> => {
    if (method === 'GET') return { data: [] };
    most = Math.max(most, ++now);
    await new Promise<void>((resolve) => {
      waiting.push(resolve);
    });
    now--;
    return { data: null };
  });
  const client = await clientOf(t, certificates, [pve], { reads: 1, writes: 2 });
  const changes = [1, 2, 3, 4, 5, 6].map((n) => client.pools.create(`p${n}`, undefined, { caller: `pod ${n % 2}` }));
  // With all places for changes taken, reads still get through.
  while (waiting.length < 2) t.deepEqual(await client.pools.list(), []);
  for (let done = 0; done < 6; done++) {
    while (waiting.length === 0) await client.pools.list();
    waiting.shift()?.();
  }
  await Promise.all(changes);
  t.is(most, 2);
});
