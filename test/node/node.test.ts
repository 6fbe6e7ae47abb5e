import test from 'ava';
import { NodeUnderTest } from './node-under-test.ts';
import { clusterPodTests } from './cluster-pods.ts';
import { podTests } from './pods.ts';
import { removalTests, restartTests } from './restarts.ts';
import { statsTests } from './stats.ts';
import { workloadTests } from './workloads.ts';

let its: NodeUnderTest | undefined;
const under = (): NodeUnderTest => {
  if (!its) throw new Error('the node did not start');
  return its;
};

test.before('a node starts', async (t) => {
  t.timeout(1_200_000);
  its = await NodeUnderTest.start(false);
});
test.after.always('the node ends', async () => its?.stop());

podTests(test, under);
clusterPodTests(test, under);
statsTests(test, under);
workloadTests(test, under);
restartTests(test, under);
removalTests(test, under);
