import { mkdtemp, rm } from 'node:fs/promises';
import test from 'ava';
import { RuntimeServiceService } from '../../api/gen/cri.ts';
import { ServerFixture } from '../integration/server-fixture.ts';
import { ask, finish } from '../pve/http/ask.ts';
import { NodeFixture } from './pve-node.ts';
import { output, POOL, TestPool } from './pve-pool.ts';

const FOREVER = 'echo mine >/mark; trap "exit 0" TERM; echo ready; sleep 3600 & wait';
/** In the pool of the storage, as a clone of it must be. */
const STORE = 'guest/proxmox-lxcri';

test('root filesystems are volumes of the guest', async (t) => {
  const directory = await mkdtemp('/tmp/pool-');
  const pool = await TestPool.make(directory);
  t.teardown(async () => {
    await pool.remove();
    await rm(directory, { recursive: true, force: true });
  });
  await output('zfs', 'create', STORE);

  const node = await NodeFixture.make(
    { storages: { tank: { type: 'zfspool', pool: POOL, content: ['images', 'rootdir'], options: {} } } },
    'tank',
    true,
  );
  t.teardown(() => node.close());
  const server = await ServerFixture.make(t, node.toml, { dataset: STORE });
  const volumes = async () => (await pool.names()).filter((name) => name.startsWith('subvol-10000'));
  const pod = await server.pod('web', { hostname: 'web' }, 'proxmox-lxc');
  const id = await server.sh(pod, 'app', FOREVER);
  await server.said('web', 'app', 'ready');
  t.deepEqual(await volumes(), ['subvol-10000-disk-0', 'subvol-10000-disk-1'], "the guest's and the container's");
  t.deepEqual(await pool.get('subvol-10000-disk-1', 'proxmox-lxcri:container', 'proxmox-lxcri:pod'), [id, 'test/web']);
  const { data } = await ask(node.cluster, 'GET', '/nodes/pve1/storage/tank/content?vmid=10000');
  t.is((data as unknown[]).length, 2, 'Proxmox shows both');
  t.notRegex(node.cluster.state.guests.read(node.cluster.state.guests.list()[0]!) ?? '', /disk-1/, 'not registered');

  await server.client.call(RuntimeServiceService.removeContainer, { containerId: id });
  t.deepEqual(await volumes(), ['subvol-10000-disk-0']);
  const second = await server.sh(pod, 'second', FOREVER);
  await server.said('web', 'second', 'ready');
  t.is((await server.exec(second, 'cat', '/mark')).stdout.toString(), 'mine\n');

  // As a person deletes it: what no configuration names stays.
  t.is(await finish(node.cluster, 'DELETE', '/nodes/pve1/lxc/10000?force=1'), 'OK');
  t.is((await server.exit(second)).exitCode, 137);
  await server.client.call(RuntimeServiceService.removePodSandbox, { podSandboxId: pod });
  t.deepEqual(await volumes(), []);
  const again = await server.pod('next', {}, 'proxmox-lxc');
  t.deepEqual(await volumes(), ['subvol-10000-disk-0'], 'the VMID is used again');
  // With every volume, as the server itself does after a reboot: the container can be removed all the same.
  const third = await server.sh(again, 'third', FOREVER);
  await server.said('next', 'third', 'ready');
  t.is(await finish(node.cluster, 'DELETE', '/nodes/pve1/lxc/10000?force=1&destroy-unreferenced-disks=1'), 'OK');
  t.is((await server.exit(third)).exitCode, 137);
  t.deepEqual(await volumes(), []);
  await server.end('SIGKILL');
  await server.start();
  await server.client.call(RuntimeServiceService.removeContainer, { containerId: third });
  await server.client.call(RuntimeServiceService.removePodSandbox, { podSandboxId: again });
});
