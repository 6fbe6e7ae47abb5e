import type { TestFn } from 'ava';
import type { NodeUnderTest } from './node-under-test.ts';
import { NGINX, shell, WAIT } from './pod-parts.ts';

const PODS = 10;
const CALLS = ['RunPodSandbox', 'CreateContainer', 'StartContainer'];

/** How long a pod takes from its manifest to Ready, images present, and which part of it the server takes. */
export function startTimeTests(test: TestFn, under: () => NodeUnderTest): void {
  test.serial('the time from manifest to Ready is measured', async (t) => {
    const its = under();
    const readiness = { httpGet: { path: '/', port: 80 }, periodSeconds: 1 };
    const spec = {
      initContainers: [shell('init', 'true')],
      containers: [{ name: 'web', image: NGINX, readinessProbe: readiness }, shell('side', WAIT)],
    };
    // Images.
    await its.run('first', spec);
    await its.ready('first');
    await its.remove('first');
    const whole: number[] = [];
    const parts = new Map<string, number[]>(CALLS.map((call) => [call, []]));
    for (let index = 0; index < PODS; index += 1) {
      const name = `timed-${String(index)}`;
      const begun = performance.now();
      await its.run(name, spec);
      await its.ready(name);
      whole.push(performance.now() - begun);
      for (const call of CALLS) parts.get(call)?.push(await callMs(its, call, name));
      await its.remove(name);
    }
    t.log(
      `${its.handler}: Ready after ${seconds(whole)} s, of which ${CALLS.map((call) => `${call} ${seconds(parts.get(call)!)}`).join(', ')} (medians of ${String(PODS)})`,
    );
    t.is(whole.length, PODS);
  });
}

/** Milliseconds of a pod's calls in the log of the server. */
async function callMs(its: NodeUnderTest, call: string, name: string): Promise<number> {
  const lines = (await its.node.log('server')).split('\n').filter((line) => line.includes(`"msg":"${call} succeeded"`));
  const own = lines.map((line) => JSON.parse(line) as { pod?: string; durationMs: number });
  return own
    .filter(({ pod }) => pod === `default/${its.nameOf(name)}`)
    .reduce((sum, { durationMs }) => sum + durationMs, 0);
}

function seconds(values: readonly number[]): string {
  return ((values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0) / 1000).toFixed(2);
}
