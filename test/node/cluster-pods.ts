import type { TestFn } from 'ava';
import { join } from 'node:path';
import { lives, type NodeUnderTest } from './node-under-test.ts';
import { agnhost, BUSYBOX, shell, WAIT } from './pod-parts.ts';

/** What users and the API ask of single pods. */
export function clusterPodTests(test: TestFn, under: () => NodeUnderTest): void {
  test.serial('exec, attach, logs, port-forward, cp and debug work', async (t) => {
    const its = under();
    await its.run('tools', {
      containers: [
        agnhost('web', ['netexec', '--http-port=8080']),
        shell('echo', 'while read -r line; do echo "got $line"; done', { stdin: true }),
      ],
    });
    await its.ready('tools');
    t.is(await its.kubectl('exec', 'tools', '-c', 'echo', '--', 'sh', '-c', 'echo out; echo err >&2'), 'out\n');
    const failed = await t.throwsAsync(its.kubectl('exec', 'tools', '-c', 'echo', '--', 'sh', '-c', 'exit 7'));
    t.like(failed, { code: 7 });
    const large = join(its.node.directory, 'large');
    t.is(
      await its.node
        .sh(`head -c 20000000 /dev/urandom >${large}; kubectl cp -c web ${large} tools:/tmp/large >/dev/null &&
      kubectl cp -c web tools:tmp/large ${large}.back >/dev/null && cmp ${large} ${large}.back && echo same`),
      'same\n',
    );
    t.is(await its.node.sh('echo hello | timeout 20 kubectl attach -q -i tools -c echo | head -n 1'), 'got hello\n');
    t.is(await its.kubectl('logs', 'tools', '-c', 'echo'), 'got hello\n');
    t.is(
      await its.node.sh(`kubectl port-forward pod/tools 18081:8080 >${large}.log & forward=$!
      until grep -q Forwarding ${large}.log; do sleep 0.1; done
      curl -s http://127.0.0.1:18081/hostname; kill $forward`),
      'tools',
    );
    t.regex(
      await its.node.sh(`kubectl debug -q tools --image=${BUSYBOX} --target=web -c look -- ps &&
      until kubectl logs tools -c look 2>/dev/null | grep agnhost; do sleep 0.5; done`),
      /\/agnhost netexec/,
    );
    await its.remove('tools');
  });

  test.serial('pods share a PID namespace, mount images and resize in place', async (t) => {
    const its = under();
    const image = { reference: BUSYBOX, pullPolicy: 'IfNotPresent' };
    await its.run('shared', {
      shareProcessNamespace: true,
      containers: [
        shell('one', WAIT, {
          volumeMounts: [{ name: 'image', mountPath: '/image' }],
          resources: { requests: { cpu: '20m' }, limits: { cpu: '100m', memory: '64Mi' } },
        }),
        shell('two', 'exec sleep 4321'),
      ],
      volumes: [{ name: 'image', image }],
    });
    const before = await its.ready('shared');
    t.regex(await its.kubectl('exec', 'shared', '-c', 'one', '--', 'ps'), /sleep 4321/);
    t.is(await its.kubectl('exec', 'shared', '-c', 'one', '--', 'ls', '/image/bin/busybox'), '/image/bin/busybox\n');
    const resources = { limits: { cpu: '250m', memory: '96Mi' } };
    const patch = JSON.stringify({ spec: { containers: [{ name: 'one', resources }] } });
    await its.kubectl('patch', 'pod', 'shared', '--subresource=resize', '--patch', patch);
    const after = await its.until(
      'the new limits',
      'shared',
      ({ status }) =>
        status.containerStatuses?.find(({ name }) => name === 'one')?.resources?.limits?.['memory'] === '96Mi',
    );
    t.deepEqual(lives(after), lives(before));
    await its.remove('shared');
  });

  test.serial('each handler has a RuntimeClass', async (t) => {
    const its = under();
    for (const handler of ['lxc', 'crun']) {
      await its.run(`class-${handler}`, { runtimeClassName: handler, containers: [shell('one', WAIT)] });
      await its.ready(`class-${handler}`);
      t.regex(await its.node.cli('pods'), new RegExp(`class-${handler} .*${handler}`));
    }
    await its.remove('class-lxc', 'class-crun');
  });

  test.serial('a pod has a user namespace of its own', async (t) => {
    const its = under();
    const node = await its.get<{
      status: { runtimeHandlers?: { name: string; features: { userNamespaces?: boolean } }[] };
    }>('node', 'node1');
    const features = node.status.runtimeHandlers?.find(({ name }) => name === its.handler)?.features;
    t.not(features, undefined);
    if (!features?.userNamespaces) {
      t.log(`${its.handler} has no user namespaces on this machine`);
      return;
    }
    await its.run('users', { hostUsers: false, containers: [shell('one', WAIT)] });
    await its.ready('users');
    t.regex(await its.exec('users', 'cat', '/proc/self/uid_map'), /^ *0 +[1-9]\d+ +65536\n$/);
    await its.remove('users');
  });
}
