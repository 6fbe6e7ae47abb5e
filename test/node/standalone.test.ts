import test from 'ava';
import { NodeUnderTest } from './node-under-test.ts';
import { podTests } from './pods.ts';
import { restartTests } from './restarts.ts';
import { startTimeTests } from './start-times.ts';
import { statsTests } from './stats.ts';

let its: NodeUnderTest | undefined;
const under = (): NodeUnderTest => {
  if (!its) throw new Error('the kubelet did not start');
  return its;
};

test.before('a kubelet starts', async () => {
  its = await NodeUnderTest.start(true);
});
test.after.always('the kubelet ends', async () => its?.stop());

podTests(test, under);
statsTests(test, under);
restartTests(test, under);
startTimeTests(test, under);
