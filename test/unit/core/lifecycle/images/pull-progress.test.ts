import test from 'ava';
import { type LayerProgress, PullProgress } from '../../../../../src/core/lifecycle/images/pull-progress.ts';

const layer = (digest: string) => ({ digest, size: 8, mediaType: '' });

test('Only layers that changed are reported', async (t) => {
  const progress = new PullProgress();
  const pull = Promise.withResolvers<string>();
  const reports = progress.reports(pull.promise);
  const next = async () => {
    const { value } = (await reports.next()) as IteratorYieldResult<LayerProgress[]>;
    return value.map(({ index, state, received }) => [index, state, received]);
  };
  progress.begin(['a', 'b', 'c'].map(layer));
  const fetched: { received?: number } = {};
  progress.enter(0, 'present');
  progress.fetch(1, { received: () => fetched.received });
  progress.fetch(2, { received: () => 8 });
  t.deepEqual(await next(), [
    [0, 'present', 0],
    [1, 'waiting', 0],
    [2, 'downloaded', 8],
  ]);
  fetched.received = 3;
  t.deepEqual(await next(), [[1, 'downloading', 3]]);
  progress.enter(0, 'done');
  progress.enter(1, 'unpacking');
  t.deepEqual(await next(), [[1, 'unpacking', 8]]);
  progress.enter(1, 'done');
  pull.reject(new Error('the last layer is broken'));
  t.deepEqual(await next(), [[1, 'done', 8]]);
  t.true((await reports.next()).done);
});
