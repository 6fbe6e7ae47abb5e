import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import test from 'ava';
import { RuntimeServiceService } from '../../api/gen/cri.ts';
import { ServerFixture } from '../integration/server-fixture.ts';
import { eventually } from '../lib/eventually.ts';
import { NodeFixture } from './pve-node.ts';

const HANDLER = 'proxmox-lxc';
const FOREVER = 'trap "exit 0" TERM; echo ready; sleep 3600 & wait';

let node: NodeFixture;
test.before(async () => {
  node = await NodeFixture.make();
});
test.after.always(() => node.close());

test.serial('a pod is a guest of the node', async (t) => {
  const server = await ServerFixture.make(t, node.toml);
  const pod = await server.pod('web', { hostname: 'web-0' }, HANDLER);
  const [ref] = node.cluster.state.guests.list();
  t.is(ref?.vmid, 10_000);
  t.log(node.cluster.state.guests.read(ref!));
  const id = await server.sh(pod, 'app', `hostname; ${FOREVER}`);
  await server.said('web', 'app', 'ready');
  t.is(await server.output('web', 'app'), 'web-0\nready\n');
  t.is((await server.exec(id, 'echo', 'x')).stdout.toString(), 'x\n');
  await server.client.call(RuntimeServiceService.stopPodSandbox, { podSandboxId: pod });
  await server.client.call(RuntimeServiceService.removePodSandbox, { podSandboxId: pod });
  t.deepEqual(node.cluster.state.guests.list(), []);
  t.deepEqual(await readdir('/var/lib/lxc'), []);
  t.false(existsSync('/sys/fs/cgroup/lxc.monitor/10000'));
  await eventually('a free map', async () => !(await server.log()).includes('not free'));
});
