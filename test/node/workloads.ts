import type { TestFn } from 'ava';
import type { NodeUnderTest } from './node-under-test.ts';
import { agnhost, shell, WAIT } from './pod-parts.ts';

function workload(kind: string, name: string, spec: object, template: object): object {
  const labels = { app: name };
  return {
    apiVersion: kind === 'Job' ? 'batch/v1' : 'apps/v1',
    kind,
    metadata: { name },
    spec: {
      ...(kind === 'Job' ? {} : { selector: { matchLabels: labels } }),
      ...spec,
      template: { metadata: { labels }, spec: { terminationGracePeriodSeconds: 2, ...template } },
    },
  };
}

function service(name: string, port: number, spec: object = {}): object {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name },
    spec: { selector: { app: name }, ports: [{ port: 80, targetPort: port }], ...spec },
  };
}

/** What the controllers of a cluster make of pods. */
export function workloadTests(test: TestFn, under: () => NodeUnderTest): void {
  test.serial('a Deployment of 20 replicas is rolled', async (t) => {
    const its = under();
    const rolled = (version: string) =>
      workload(
        'Deployment',
        'rolled',
        { replicas: 20, strategy: { rollingUpdate: { maxSurge: 5, maxUnavailable: 5 } } },
        { containers: [shell('one', WAIT, { env: [{ name: 'VERSION', value: version }] })] },
      );
    for (const version of ['1', '2']) {
      await its.node.apply(rolled(version));
      await its.kubectl('rollout', 'status', '--timeout=600s', 'deployment/rolled');
    }
    const pods = await its.get<{
      items: { spec: { containers: { env: { value: string }[] }[] }; metadata: { deletionTimestamp?: string } }[];
    }>('pods', '-l', 'app=rolled');
    const live = pods.items.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
    t.deepEqual(
      live.map(({ spec }) => spec.containers[0]?.env[0]?.value),
      Array.from({ length: 20 }, () => '2'),
    );
    await its.kubectl('delete', 'deployment', 'rolled', '--cascade=foreground', '--timeout=300s');
  });

  test.serial('a Job completes, a StatefulSet and a DaemonSet run', async (t) => {
    const its = under();
    await its.node.apply(
      workload(
        'Job',
        'once',
        { completions: 3, parallelism: 2 },
        { restartPolicy: 'Never', containers: [shell('one', 'echo done')] },
      ),
      workload('StatefulSet', 'ordered', { replicas: 2, serviceName: 'ordered' }, { containers: [shell('one', WAIT)] }),
      workload('DaemonSet', 'everywhere', {}, { containers: [shell('one', WAIT)] }),
    );
    await its.kubectl('wait', '--for=condition=Complete', '--timeout=300s', 'job/once');
    await its.kubectl('rollout', 'status', '--timeout=300s', 'statefulset/ordered');
    await its.kubectl('rollout', 'status', '--timeout=300s', 'daemonset/everywhere');
    t.is(await its.kubectl('logs', 'job/once'), 'done\n');
    await its.kubectl(
      'delete',
      'job/once',
      'statefulset/ordered',
      'daemonset/everywhere',
      '--cascade=foreground',
      '--timeout=300s',
    );
  });

  test.serial('pods and the node reach a Service by address and name', async (t) => {
    const its = under();
    await its.node.apply(
      workload(
        'Deployment',
        'served',
        { replicas: 2 },
        {
          containers: [
            agnhost('web', ['netexec', '--http-port=8080'], {
              readinessProbe: { httpGet: { path: '/', port: 8080 }, periodSeconds: 1 },
            }),
          ],
        },
      ),
      service('served', 8080, { type: 'NodePort' }),
    );
    await its.kubectl('rollout', 'status', '--timeout=300s', 'deployment/served');
    await its.run('client', { containers: [agnhost('web', ['pause'])] });
    await its.ready('client');
    const { spec } = await its.get<{ spec: { clusterIP: string; ports: { nodePort: number }[] } }>('service', 'served');
    const answer = async (url: string) =>
      its.exec('client', 'curl', '-sS', '--retry', '20', '--retry-all-errors', '--retry-delay', '1', url);
    t.regex(await answer(`http://${spec.clusterIP}/hostname`), /^served-/);
    t.regex(await answer('http://served.default.svc.cluster.local/hostname'), /^served-/);
    t.regex(await answer('http://served/hostname'), /^served-/);
    const seen = await fetch(`http://172.30.0.1:${String(spec.ports[0]?.nodePort)}/hostname`);
    t.regex(await seen.text(), /^served-/);
    await its.kubectl(
      'delete',
      'deployment/served',
      'service/served',
      'pod/client',
      '--cascade=foreground',
      '--timeout=300s',
    );
  });
}
