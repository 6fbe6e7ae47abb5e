import test from 'ava';
import { BoundedQueue } from '../../../../../src/core/lifecycle/events/bounded-queue.ts';
import { EventHub } from '../../../../../src/core/lifecycle/events/event-hub.ts';
import type { NumberedEvent } from '../../../../../src/core/lifecycle/events/event-hub.ts';

const event = (containerId: string) => ({ kind: 'started' as const, containerId, sandboxId: 'pod', at: 1n });

function hub(failures: unknown[] = []) {
  let dropped = 0;
  const made = new EventHub({ failed: (error) => failures.push(error), dropped: () => (dropped += 1) });
  return { hub: made, dropped: () => dropped };
}

test('events are numbered; a throwing listener disturbs no other', (t) => {
  const failures: unknown[] = [];
  const { hub: events } = hub(failures);
  const seen: NumberedEvent[] = [];
  events.subscribe(() => {
    throw new Error('no');
  });
  const unsubscribe = events.subscribe((one) => seen.push(one));
  events.publish(event('a'));
  events.publish(event('b'));
  unsubscribe();
  events.publish(event('c'));
  t.deepEqual(
    seen.map(({ containerId, sequence }) => [containerId, sequence]),
    [
      ['a', 1],
      ['b', 2],
    ],
  );
  t.is(failures.length, 3);
});

test('a stream sends events from its start until aborted', async (t) => {
  const { hub: events } = hub();
  const end = new AbortController();
  let state = 'first';
  const stream = events.stream(({ containerId }) => `${containerId} ${state}`, end.signal);
  const first = stream.next();
  events.publish(event('a'));
  events.publish(event('b'));
  state = 'second';
  t.deepEqual(await first, { value: 'a first', done: false });
  t.deepEqual(await stream.next(), { value: 'b first', done: false });
  const last = stream.next();
  end.abort();
  t.deepEqual(await last, { value: undefined, done: true });
});

test('a slow reader loses the oldest events, each counted', async (t) => {
  let dropped = 0;
  const queue = new BoundedQueue<number>(
    3,
    () => 1,
    () => (dropped += 1),
  );
  for (const number of [1, 2, 3, 4, 5]) queue.push(number);
  const read = queue.read(new AbortController().signal);
  t.deepEqual([(await read.next()).value, (await read.next()).value, (await read.next()).value], [3, 4, 5]);
  t.is(dropped, 2);
});

test('heavy events take the place of several', async (t) => {
  let dropped = 0;
  const weigh = (text: string) => text.length;
  const queue = new BoundedQueue<string>(5, weigh, () => (dropped += 1));
  const read = queue.read(new AbortController().signal);
  const next = async () => (await read.next()).value as string;
  for (const text of ['a', 'bb', 'ccc']) queue.push(text);
  t.is(dropped, 1);
  t.is(await next(), 'bb');
  // What was read has left room.
  queue.push('dd');
  t.is(dropped, 1);
  queue.push('longer than all');
  t.is(dropped, 3);
  t.is(await next(), 'longer than all');
  queue.push('e');
  t.is(await next(), 'e');
});

test('steps of a pod stop at the first failure', async (t) => {
  const { hub: events } = hub();
  const order: string[] = [];
  events.onStep('ending', async (id) => {
    await Promise.resolve();
    order.push(`first ${id}`);
  });
  events.onStep('ending', () => Promise.reject(new Error('cannot')));
  events.onStep('ending', async () => void order.push('never'));
  await t.throwsAsync(events.step('ending', 'x'), { message: 'cannot' });
  await events.step('removing', 'x');
  t.deepEqual(order, ['first x']);
});
