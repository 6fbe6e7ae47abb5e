import type { TestFn } from 'ava';
import { eventually } from '../lib/eventually.ts';
import { lives, type NodeUnderTest } from './node-under-test.ts';
import { shell, WAIT } from './pod-parts.ts';

/** What a pod sees of restarts around it: nothing. */
export function restartTests(test: TestFn, under: () => NodeUnderTest): void {
  test.serial('a pod goes on while kubelet and server are restarted or killed', async (t) => {
    const its = under();
    await its.run('steady', {
      containers: [
        shell('one', WAIT, { livenessProbe: { exec: { command: ['true'] }, periodSeconds: 1, timeoutSeconds: 60 } }),
        shell('count', 'i=0; while :; do echo $i; i=$((i + 1)); sleep 0.2; done'),
      ],
    });
    const before = lives(await its.ready('steady'));
    for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
      await its.node.restartKubelet({}, signal);
      await its.node.program('server').stop(signal);
      await its.node.program('server').start();
      await its.node.serverAnswers();
      t.deepEqual(lives(await its.ready('steady')), before, signal);
      // The kubelet dials the server again within three seconds.
      const exec = () => its.exec('steady', 'echo', 'here').catch(() => undefined);
      if (!its.isStandalone) t.is(await eventually('an exec', exec), 'here\n');
    }
    const log = await its.node.sh('cut -d " " -f 4 /var/log/pods/default_steady*/count/0.log');
    const numbers = log.trim().split('\n').map(Number);
    t.deepEqual(
      numbers,
      numbers.map((_, index) => index),
    );
    await its.remove('steady');
  });

  test.serial('the gate of the evented PLEG works', async (t) => {
    const its = under();
    await its.node.restartKubelet({ gates: { EventedPLEG: true } });
    await its.run('evented', { containers: [shell('one', 'exec sleep 9876')] });
    const before = await its.ready('evented');
    await its.node.sh('pkill -KILL --full "sleep [9]876"');
    // By its relist alone the kubelet would see this after 300 s.
    const after = await its.until(
      'a restart',
      'evented',
      ({ status }) => status.containerStatuses?.[0]?.restartCount === 1 && status.containerStatuses[0].ready,
    );
    t.notDeepEqual(lives(after), lives(before));
    t.notRegex(await its.node.log('kubelet'), /Evented PLEG: .*(falling back|Failed)/i);
    await its.remove('evented');
    await its.node.restartKubelet({});
  });
}

/** The last one, in a cluster: nothing may run any more. */
export function removalTests(test: TestFn, under: () => NodeUnderTest): void {
  test.serial('removal of all pods leaves nothing', async (t) => {
    const its = under();
    await its.kubectl('delete', 'pods', '--all', '--timeout=300s');
    const { items } = await its.get<{ items: unknown[] }>('pods', '-A');
    t.deepEqual(items, []);
    // The kubelet collects what has ended once a minute.
    t.true(await eventually('no container', async () => (await its.node.cli('ps', '--all', '--quiet')) === ''));
    t.true(await eventually('no pod', async () => (await its.node.cli('pods', '--quiet')) === ''));
    t.is(
      await its.node.sh(
        `findmnt -rno TARGET | grep -E '^${its.node.directory}/(kubelet/pods|root/containers|state/(lxc|crun))/' || true`,
      ),
      '',
    );
    t.is(await its.node.sh('ip -o link | grep -cE " veth" || true'), '0\n');
  });
}
