import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import test, { type ExecutionContext } from 'ava';
import { StatusCode } from '../../../../src/core/model/errors.ts';
import { VmidAllocator } from '../../../../src/backends/proxmox/guests/vmid-allocator.ts';
import { VmidMap } from '../../../../src/backends/proxmox/guests/vmid-map.ts';
import { FakeCluster } from './fake-cluster.ts';
import { silent } from './silent.ts';

async function directoryOf(t: ExecutionContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'allocator-'));
  t.teardown(() => rm(directory, { recursive: true }));
  return directory;
}

interface Node {
  allocator: VmidAllocator;
  map: VmidMap;
  /** Makes a guest for a pod. */
  allocate: (owner: string) => Promise<number>;
  /** Deletes a pod's guest and releases its VMID. */
  remove: (vmid: number) => Promise<void>;
}

async function node(t: ExecutionContext, cluster: FakeCluster, first = 100, size = 5, name = 'pve1'): Promise<Node> {
  const map = await VmidMap.open(join(await directoryOf(t), 'vmids.json'));
  const field = `vmids.${name}`;
  const allocator = new VmidAllocator({ range: { first, size }, field, map, tracer: cluster, logger: silent });
  return {
    allocator,
    map,
    allocate: (owner) => allocator.allocate(owner, (vmid) => cluster.create(vmid, { node: name, owner })),
    remove: async (vmid) => {
      cluster.guests.delete(vmid);
      await allocator.release(vmid);
    },
  };
}

test('the lowest free VMID comes first', async (t) => {
  const one = await node(t, new FakeCluster());
  t.is(await one.allocate('a'), 100);
  t.deepEqual(await Promise.all([one.allocate('b'), one.allocate('c')]), [101, 102]);
  await one.remove(101);
  t.is(await one.allocate('d'), 101);
  t.is(await one.allocate('e'), 103);
});

for (const [what, leftovers] of Object.entries({
  'a volume': { datasets: ['rpool/subvol-100-disk-1'] },
  'a firewall file': { firewall: true },
  'an HA resource': { highAvailability: ['ct:100'] },
  'an active unit': { units: ['pve-container@100.service'] },
  'a running task': { tasks: ['UPID:pve1:000003E9:000186A0:692B7C00:vzdestroy:100:root@pam:'] },
}))
  test(`${what} keeps a VMID out of use`, async (t) => {
    const cluster = new FakeCluster();
    const one = await node(t, cluster);
    await one.allocate('a');
    cluster.leftovers.set(100, leftovers);
    await one.remove(100);
    t.is(await one.allocate('b'), 101);
    t.deepEqual(await one.allocator.settle(), []);
    t.is(await one.allocate('c'), 102);
    cluster.leftovers.clear();
    await one.allocator.settle();
    t.is(await one.allocate('d'), 100);
  });

test('a guest that is not gone keeps its VMID', async (t) => {
  const one = await node(t, new FakeCluster());
  await one.allocate('a');
  await one.allocator.release(100);
  t.is(await one.allocate('b'), 101);
  t.deepEqual(await one.allocator.settle(), [{ vmid: 100, owner: 'a', node: 'pve1', state: 'leaving' }]);
});

test("others' guests and volumes in the range are passed", async (t) => {
  const cluster = new FakeCluster();
  cluster.guests.set(100, { node: 'pve1' });
  cluster.leftovers.set(101, { datasets: ['x'] });
  const one = await node(t, cluster);
  t.is(await one.allocate('a'), 102);
  t.is(cluster.refused, 0);
});

test('an exhausted range names its field and asks again', async (t) => {
  const cluster = new FakeCluster();
  cluster.guests.set(100, { node: 'pve2' });
  const one = await node(t, cluster, 100, 3);
  await one.allocate('a');
  await one.allocate('b');
  await t.throwsAsync(one.allocate('c'), {
    message: /^no VMID of 100-102 is free: pods have 2, other guests .* have 1; raise vmids\.pve1\.size or/,
    code: StatusCode.RESOURCE_EXHAUSTED,
  } as object);
  cluster.guests.delete(100);
  t.is(await one.allocate('c'), 100);
});

test('a failed create blocks its VMID until settled', async (t) => {
  const cluster = new FakeCluster();
  const { allocator, allocate } = await node(t, cluster);
  const lost = new Error('connection lost');
  const create = async (vmid: number): Promise<never> => {
    await cluster.create(vmid, { node: 'pve1', owner: 'a' });
    throw lost;
  };
  t.is(await t.throwsAsync(allocator.allocate('a', create)), lost);
  t.is(await allocate('b'), 101);
  t.deepEqual(await allocator.settle(), [{ vmid: 100, owner: 'a', node: 'pve1', state: 'leaving' }]);
  cluster.guests.delete(100);
  t.deepEqual(await allocator.settle(), []);
  t.is(await allocate('c'), 100);
});

test('a guest in the making keeps its reservation', async (t) => {
  const cluster = new FakeCluster();
  const { allocator, map } = await node(t, cluster);
  await map.set(100, { owner: 'a', state: 'reserved' });
  cluster.guests.set(100, { node: 'pve1', unfinished: true });
  t.deepEqual(await allocator.settle(), []);
  cluster.guests.set(100, { node: 'pve1', owner: 'a' });
  t.deepEqual(await allocator.settle(), [{ vmid: 100, owner: 'a', node: 'pve1', state: 'leaving' }]);
  await map.set(100, { owner: 'a', state: 'reserved' });
  cluster.guests.set(100, { node: 'pve1' });
  t.deepEqual(await allocator.settle(), []);
  t.is(map.get(100), undefined);
});

test('unknown traces use no VMID', async (t) => {
  const cluster = new FakeCluster();
  const one = await node(t, cluster);
  cluster.tracesOf = async () => Promise.reject(new Error('no quorum'));
  await t.throwsAsync(one.allocate('a'), { message: 'no quorum' });
  t.is(cluster.guests.size, 0);
});

test('a late look frees no new reservation', async (t) => {
  const cluster = new FakeCluster();
  const one = await node(t, cluster);
  await one.allocate('a');
  await one.allocator.release(100);
  cluster.guests.delete(100);
  const look = cluster.tracesOf.bind(cluster);
  const looked = Promise.withResolvers<undefined>();
  cluster.tracesOf = async (vmid) => {
    cluster.tracesOf = look;
    const traces = await look(vmid);
    await looked.promise;
    return traces;
  };
  const late = one.allocator.settle();
  await one.allocator.release(100);
  t.is(await one.allocate('b'), 100);
  looked.resolve(undefined);
  await late;
  t.is(one.map.get(100)?.owner, 'b');
});

for (const [title, second] of Object.entries({ 'one range': 1000, 'two ranges': 2000 }))
  test(`two nodes give 500 VMIDs from ${title}`, async (t) => {
    const cluster = new FakeCluster();
    const nodes = [await node(t, cluster, 1000, 1000, 'pve1'), await node(t, cluster, second, 1000, 'pve2')];
    const vmids = await Promise.all(
      nodes.flatMap((one, index) => Array.from({ length: 500 }, (_, pod) => one.allocate(`${index}-${pod}`))),
    );
    t.is(new Set(vmids).size, 1000);
    t.is(cluster.guests.size, 1000);
    t.is(cluster.refused > 0, second === 1000);
  });

test('two processes give no VMID twice', async (t) => {
  const cluster = await directoryOf(t);
  const worker = fileURLToPath(import.meta.resolve('./allocate-worker.ts'));
  const processes = ['pve1', 'pve2'].map(async (name) => {
    await mkdir(join(cluster, name));
    const { stdout } = await promisify(execFile)(process.execPath, [worker, cluster, name, '1000', '1000', '500']);
    return JSON.parse(stdout) as number[];
  });
  const vmids = (await Promise.all(processes)).flat();
  t.is(vmids.length, 1000);
  t.is(new Set(vmids).size, 1000);
});

test("a claimed guest is the pod's, whichever of the two its notes name", async (t) => {
  for (const mark of ['warm', 'pod']) {
    const cluster = new FakeCluster();
    const one = await node(t, cluster);
    const vmid = await one.allocate('warm');
    await one.map.set(vmid, { owner: 'pod', state: 'used', warm: 'warm' });
    cluster.guests.set(vmid, { node: 'pve1', owner: mark });
    await one.allocator.release(vmid);
    t.deepEqual(await one.allocator.settle(), [{ vmid, owner: 'pod', node: 'pve1', state: 'leaving' }], mark);
    t.deepEqual(one.map.get(vmid), { owner: 'pod', state: 'leaving', warm: 'warm' });
    await one.remove(vmid);
    t.is(one.map.get(vmid), undefined);
  }
});
