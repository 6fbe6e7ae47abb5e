import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { VmidAllocator } from '../../../../src/backends/proxmox/guests/vmid-allocator.ts';
import { VmidMap } from '../../../../src/backends/proxmox/guests/vmid-map.ts';
import { writeFileAtomic } from '../../../../src/utils/fs/atomic.ts';
import { FakeCluster } from './fake-cluster.ts';
import { silent } from './silent.ts';

const RANGE = { first: 100, size: 10 };

/** A server that ends for good at its step number `last`; steps are the moments before and after each effect. */
class Server {
  readonly killed: Promise<void>;
  steps = 0;
  readonly #last: number;
  #kill: () => void = () => undefined;

  constructor(last: number) {
    this.#last = last;
    this.killed = new Promise((resolve) => (this.#kill = resolve));
  }

  async step<T>(effect: () => Promise<T>): Promise<T> {
    await this.#moment();
    const result = await effect();
    await this.#moment();
    return result;
  }

  async #moment(): Promise<void> {
    if (++this.steps < this.#last) return;
    this.#kill();
    await new Promise(() => undefined);
  }
}

/** The life of three pods; `records` is what the server has durably noted of pods that have a guest. */
async function live(server: Server, path: string, cluster: FakeCluster, records: Map<string, number>): Promise<void> {
  const map = await VmidMap.open(path, (file, text) => server.step(() => writeFileAtomic(file, text)));
  const tracer = { tracesOf: (vmid: number) => server.step(() => cluster.tracesOf(vmid)) };
  const allocator = new VmidAllocator({ range: RANGE, field: 'vmids', map, tracer, logger: silent });
  const run = async (owner: string): Promise<void> => {
    const create = (vmid: number) => server.step(() => cluster.create(vmid, { node: 'pve1', owner }));
    records.set(owner, await allocator.allocate(owner, create));
  };
  const remove = async (owner: string): Promise<void> => {
    const vmid = records.get(owner)!;
    await server.step(async () => cluster.guests.delete(vmid));
    await allocator.release(vmid);
    records.delete(owner);
  };
  await run('a');
  // Somebody else's guest appears between the look and the create.
  const create = (vmid: number) =>
    server.step(async () => {
      if (vmid === 101) cluster.guests.set(101, { node: 'pve2' });
      return cluster.create(vmid, { node: 'pve1', owner: 'b' });
    });
  records.set('b', await allocator.allocate('b', create));
  await Promise.all([remove('a'), run('c')]);
  await remove('b');
}

/** What the next server does: gives up guests that no record names. */
async function restart(path: string, cluster: FakeCluster, records: Map<string, number>): Promise<VmidAllocator> {
  const map = await VmidMap.open(path);
  const allocator = new VmidAllocator({ range: RANGE, field: 'vmids', map, tracer: cluster, logger: silent });
  const stray = await allocator.settle();
  const unrecorded = map.entries().filter(([, { owner }]) => !records.has(owner));
  for (const vmid of new Set([...stray.map((one) => one.vmid), ...unrecorded.map(([one]) => one)])) {
    if (cluster.guests.get(vmid)?.owner !== undefined) cluster.guests.delete(vmid);
    await allocator.release(vmid);
  }
  return allocator;
}

test('a kill at any step loses and repeats nothing', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'killed-'));
  t.teardown(() => rm(directory, { recursive: true }));
  const whole = new Server(Infinity);
  await live(whole, join(directory, 'whole.json'), new FakeCluster(), new Map());
  t.true(whole.steps > 20, `${whole.steps} steps`);
  for (let last = 1; last <= whole.steps; last++) {
    const path = join(directory, `${last}.json`);
    const cluster = new FakeCluster();
    const records = new Map<string, number>();
    const server = new Server(last);
    await Promise.race([live(server, path, cluster, records), server.killed]);
    const allocator = await restart(path, cluster, records);
    for (const [owner, vmid] of records)
      if (cluster.guests.get(vmid)?.owner !== owner) {
        // Its guest was gone and its record not yet: the next server finds that out and releases.
        t.false(cluster.guests.has(vmid), `step ${last}: ${owner} has the guest of another`);
        await allocator.release(vmid);
        records.delete(owner);
      }
    const ours = [...cluster.guests].filter(([, { owner }]) => owner !== undefined);
    t.deepEqual(new Map(ours.map(([vmid, { owner }]) => [owner!, vmid])), records, `step ${last}: guests and records`);
    t.deepEqual(
      (await VmidMap.open(path)).entries().map(([vmid, { owner }]) => [owner, vmid]),
      [...records].sort(([, a], [, b]) => a - b),
      `step ${last}: map and records`,
    );
    const next = await allocator.allocate('d', (vmid) => cluster.create(vmid, { node: 'pve1', owner: 'd' }));
    const lowest = [100, 101, 102, 103].find((vmid) => vmid === next || !cluster.guests.has(vmid));
    t.is(next, lowest!, `step ${last}: the lowest free`);
  }
});
