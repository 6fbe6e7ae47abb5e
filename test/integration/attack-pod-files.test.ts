import test from 'ava';
import { oneServer } from './server-fixture.ts';

const serverOf = oneServer(test);
const MIB = 1024 * 1024;

for (const handler of ['lxc', 'crun']) {
  test.serial(`${handler}: pod files cannot fill the node's disk`, async (t) => {
    const server = await serverOf(t);
    const pod = await server.pod('greedy', {}, handler);
    const files = ['/etc/hosts', '/etc/resolv.conf', '/etc/hostname'];
    const fill = files.map((file) => `dd if=/dev/zero of=${file} bs=64k count=3200 2>&1 | grep -c 'No space left'`);
    const sizes = files.map((file) => `wc -c <${file}`);
    const greedy = await server.sh(pod, 'greedy', `${fill.join('; ')}; ${sizes.join('; ')}`);
    t.is((await server.exit(greedy)).exitCode, 0);
    const [hosts, resolv, hostname, ...bytes] = (await server.output('greedy', 'greedy'))
      .trim()
      .split('\n')
      .map(Number);
    t.deepEqual([hosts, resolv, hostname], [1, 1, 1], 'each write fails with ENOSPC');
    const total = bytes.reduce((sum, size) => sum + size, 0);
    t.true(total > MIB / 2 && total <= MIB, `${String(total)} bytes were written`);

    const neighbour = await server.pod('neighbour', {}, handler);
    const answer = await server.exit(await server.sh(neighbour, 'n', 'test -s /etc/hosts && exit 5'));
    t.is(answer.exitCode, 5, "the neighbour's files are its own");
    t.is((await server.exit(await server.sh(pod, 'next', 'exit 6'))).exitCode, 6, 'the pod itself goes on');
  });
}
