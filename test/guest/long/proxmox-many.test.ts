// A guest of its own: `test/long proxmox-many`.
import fc from 'fast-check';
import test from 'ava';
import { RunPodSandboxRequest, RuntimeServiceService } from '../../../api/gen/cri.ts';
import { forEach } from '../../../src/utils/async/for-each.ts';
import type { Fault } from '../../pve/state/faults.ts';
import { HANG_MS } from '../../lib/eventually.ts';
import { PROPERTY_SEED } from '../../lib/property-seed.ts';
import { HANDLER, podsOf } from '../proxmox-pods.ts';

const PODS = Number(process.env['PODS'] ?? 20);
const AT_ONCE = Number(process.env['AT_ONCE'] ?? 4);
/** Of the requests and tasks, in percent. */
const FAULTS = Number(process.env['FAULTS'] ?? 5);
/** Requests and tasks of a pod's life. */
const CALLS = 50;
/** As often the kubelet would try, with time between. */
const TRIES = 20;

const when = fc.constantFrom('before' as const, 'after' as const);
const fault: fc.Arbitrary<Fault> = fc.oneof(
  fc.record({ effect: fc.record({ kind: fc.constant('drop' as const), when }) }),
  fc.record({
    effect: fc.record({
      kind: fc.constant('status' as const),
      when,
      status: fc.constantFrom(500, 595, 596),
      reason: fc.constant('planted'),
    }),
  }),
  fc.record({
    effect: fc.record({ kind: fc.constant('task-fail' as const), when, message: fc.constant('planted') }),
    match: fc.record({ type: fc.constantFrom('vzcreate', 'vzstart', 'vzdestroy') }),
  }),
  fc.record({
    effect: fc.record({ kind: fc.constant('slow-answer' as const), milliseconds: fc.nat(500) }),
  }),
);

const pods = podsOf(test);

test('pods beside faults of the API leave nothing', async (t) => {
  const { node, server } = pods();
  const { faults, requests } = node.cluster.state;
  const options = { timeoutMs: HANG_MS };
  const call = RuntimeServiceService;
  const planned = fc.sample(fault, { numRuns: Math.ceil((PODS * CALLS * FAULTS) / 100), seed: PROPERTY_SEED });
  const share = Math.ceil(planned.length / PODS);
  const failures: string[] = [];
  /** Repeats a call until it succeeds, as the kubelet does. */
  const insist = async <T>(what: string, attempt: () => Promise<T>): Promise<T> => {
    for (let tries = 1; ; tries += 1) {
      try {
        return await attempt();
      } catch (error) {
        failures.push(what);
        if (tries === TRIES) throw error;
      }
    }
  };
  await forEach(
    Array.from({ length: PODS }, (_, index) => index),
    AT_ONCE,
    async (index) => {
      for (const each of planned.slice(index * share, (index + 1) * share)) faults.add(each);
      const name = `pod-${String(index)}`;
      const podSandboxId = await insist('RunPodSandbox', async () => {
        const request = RunPodSandboxRequest.create({ config: server.podConfig(name), runtimeHandler: HANDLER });
        return (await server.client.call(call.runPodSandbox, request, options)).podSandboxId;
      });
      const container = await server.sh(podSandboxId, 'app', 'echo ready; exec sleep 1000000');
      await server.said(name, 'app', 'ready');
      await insist('StopPodSandbox', () => server.client.call(call.stopPodSandbox, { podSandboxId }, options));
      t.is((await server.status(container)).exitCode, 137);
      await insist('RemovePodSandbox', () => server.client.call(call.removePodSandbox, { podSandboxId }, options));
    },
  );
  faults.clear();
  // Pods whose rollback failed are visible, and the kubelet removes them.
  await server.clear();
  t.deepEqual(await pods().nothingLeft(), []);
  t.deepEqual(
    node.cluster.state.tasks.all().filter(({ exit }) => exit === undefined),
    [],
  );
  const counted = [...new Set(failures)].map((what) => [what, failures.filter((one) => one === what).length]);
  const changes = requests.filter((line) => !line.startsWith('GET')).length;
  t.log(
    `${String(PODS)} pods, ${String(AT_ONCE)} at a time, ${String(planned.length)} faults, seed ${String(PROPERTY_SEED)}: ` +
      `calls that failed and were repeated ${JSON.stringify(Object.fromEntries(counted))}; ` +
      `for each pod ${(requests.length / PODS).toFixed(1)} requests, of which ${(changes / PODS).toFixed(1)} change something`,
  );
});
