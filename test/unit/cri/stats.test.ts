import test from 'ava';
import { ListContainerStatsRequest } from '../../../api/gen/cri.ts';
import { ContainerStatsService } from '../../../src/core/lifecycle/containers/container-stats.ts';
import { unavailable } from '../../../src/core/model/errors.ts';
import { statsCalls } from '../../../src/cri/rpc/stats.ts';
import type { Services } from '../../../src/cri/rpc/services.ts';

const silent = { debug() {}, info() {}, warn() {}, error() {}, with: () => silent };

test('a store that cannot be asked costs no other statistics', async (t) => {
  const spec = { metadata: { name: 'c', attempt: 0 }, labels: {}, annotations: {} };
  const record = { id: 'c1', sandboxId: 'p1', phase: 'running', rootfsStore: 'zfs:tank/a', spec };
  const runner = { usage: () => Promise.resolve({ timestamp: 1n, cpuNanoseconds: 5n }) };
  const suspended = () => Promise.reject(unavailable('pool tank is suspended'));
  const containers = { get: () => record, list: () => [record], usage: suspended };
  const pods = { backendOf: () => ({ runner }) };
  const stats = new ContainerStatsService({ pods, containers, clock: { monotonic: () => 0n }, logger: silent } as never);
  const calls = statsCalls({ stats, images: { fsInfo: suspended } } as unknown as Services);
  const listed = await calls.listContainerStats?.(ListContainerStatsRequest.create(), {} as never);
  const [first] = listed!.stats;
  t.is(first?.attributes?.id, 'c1');
  t.truthy(first?.cpu);
  t.is(first?.writableLayer, undefined);
});
