import type { TestFn } from 'ava';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { eventually } from '../lib/eventually.ts';
import type { NodeUnderTest } from './node-under-test.ts';
import { shell, WAIT } from './pod-parts.ts';
import { MARK, wholePod } from './whole-pod.ts';

/** What single pods need of the runtime, with a standalone kubelet, too. */
export function podTests(test: TestFn, under: () => NodeUnderTest): void {
  test.serial('a pod with all that a kubelet sets up becomes Ready', async (t) => {
    const its = under();
    const host = join(its.node.directory, 'host-path');
    await its.run('whole', wholePod(host, 18080, its.isStandalone), { labels: { kept: 'here' } });
    const { status } = await its.ready('whole');
    t.like(status.initContainerStatuses?.[0]?.state.terminated, { exitCode: 0, message: 'all set\n' });
    t.true(status.initContainerStatuses?.[1]?.ready);
    t.regex(await (await fetch('http://172.30.0.1:18080/')).text(), /Welcome/);
    if (!its.isStandalone) {
      t.is(await its.exec('whole', 'sh', '-c', 'echo $POD_IP'), `${String(status.podIP)}\n`);
      t.regex(await its.exec('whole', 'cat', '/volumes/token/token'), /^[\w-]+\.[\w-]+\.[\w-]+$/);
    }
    await its.remove('whole');
    t.regex(await readFile(join(host, MARK), 'utf8'), /^from-init\nkept="here"\ntmpfs +8 /);
    await t.throwsAsync(fetch('http://172.30.0.1:18080/'));
  });

  test.serial('a container out of memory restarts with back-off', async (t) => {
    const its = under();
    await its.run('hungry', {
      containers: [shell('hungry', 'sleep 1; tail /dev/zero', { resources: { limits: { memory: '32Mi' } } })],
    });
    const { status } = await its.until(
      'a restart',
      'hungry',
      ({ status: { containerStatuses: [first] = [] } }) =>
        first !== undefined && first.restartCount > 0 && first.state.waiting?.reason === 'CrashLoopBackOff',
    );
    t.like(status.containerStatuses?.[0]?.lastState.terminated, { exitCode: 137, reason: 'OOMKilled' });
    await its.remove('hungry');
  });

  test.serial('logs rotate and lose no line', async (t) => {
    const its = under();
    await its.node.restartKubelet({
      kubelet: { containerLogMaxSize: '64Ki', containerLogMaxFiles: 9, containerLogMonitorInterval: '3s' },
    });
    const script = `i=0; while [ $i -lt 4000 ]; do echo "line $i"; i=$((i + 1)); [ $((i % 40)) != 0 ] || sleep 0.1; done; ${WAIT}`;
    await its.run('talker', { containers: [shell('talker', script)] });
    const { metadata } = await its.ready('talker');
    // The directory of a static pod has the name of its manifest's hash.
    const uid = metadata.annotations?.['kubernetes.io/config.hash'] ?? metadata.uid;
    const directory = `/var/log/pods/default_${metadata.name}_${uid}/talker`;
    const lines = await eventually('all lines, in several files', async () => {
      const names = await readdir(directory);
      const found = (await Promise.all(names.map((name) => linesOf(join(directory, name))))).flat();
      return names.length > 2 && found.includes(3999) && found;
    });
    t.deepEqual(
      lines.toSorted((a, b) => a - b),
      Array.from({ length: 4000 }, (_, index) => index),
    );
    if (!its.isStandalone) t.is(await its.kubectl('logs', '--tail=1', 'talker'), 'line 3999\n');
    await its.remove('talker');
    await its.node.restartKubelet({});
  });
}

/** The numbers of the lines of a log, compressed or not; none when it was renamed meanwhile. */
async function linesOf(file: string): Promise<number[]> {
  const content = await readFile(file).catch(() => Buffer.alloc(0));
  const text = file.endsWith('.gz') && content.length > 0 ? gunzipSync(content) : content;
  return [...text.toString().matchAll(/ F line (\d+)$/gm)].map(([, number]) => Number(number));
}
