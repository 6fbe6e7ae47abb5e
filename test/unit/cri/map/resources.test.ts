import test from 'ava';
import { LinuxContainerResources } from '../../../../api/gen/cri.ts';
import { CriError, StatusCode } from '../../../../src/core/model/errors.ts';
import { containerLimits, podLimits, toLinuxResources } from '../../../../src/cri/map/resources.ts';

type Partial = Parameters<typeof LinuxContainerResources.create>[0];
const parse = (partial: Partial) => containerLimits(LinuxContainerResources.create(partial), 'linux');

/** The content of memory.limit_in_bytes (cgroup v1) without a limit. */
const NONE = 9_223_372_036_854_771_712n;

test('zero means unset', (t) => {
  t.deepEqual(parse({}), {});
  t.deepEqual(containerLimits(undefined, 'linux'), {});
  t.is(podLimits(undefined, 'overhead'), undefined);
});

test("unlimited is -1, negative, or cgroup v1's maximum", (t) => {
  for (const value of [-1n, -5n, -NONE, NONE, 2n ** 63n - 1n]) {
    t.is(parse({ memoryLimitInBytes: value }).memory, 'unlimited', String(value));
    t.is(parse({ memorySwapLimitInBytes: value }).memorySwap, 'unlimited', String(value));
    t.is(parse({ cpuQuota: value }).cpuQuota, 'unlimited', String(value));
  }
  t.deepEqual(parse({ hugepageLimits: [{ pageSize: '2MB', limit: NONE }] }).hugepages, [
    { pageSize: '2MB', limit: 'unlimited' },
  ]);
  t.deepEqual(parse({ hugepageLimits: [{ pageSize: '2MB', limit: 0n }] }).hugepages, [{ pageSize: '2MB', limit: 0 }]);
});

test('limits survive a round trip', (t) => {
  const full = LinuxContainerResources.create({
    cpuPeriod: 100_000n,
    cpuQuota: -1n,
    cpuShares: 512n,
    memoryLimitInBytes: 1n << 30n,
    oomScoreAdj: -999n,
    cpusetCpus: '0-1,3',
    cpusetMems: '0',
    hugepageLimits: [
      { pageSize: '2MB', limit: 0n },
      { pageSize: '1GB', limit: NONE },
    ],
    unified: { 'memory.high': '1M' },
    memorySwapLimitInBytes: 1n << 31n,
  });
  t.deepEqual(toLinuxResources(parse(full)), full);
});

test('impossible limits are refused, naming the field', (t) => {
  const refused: [string, Partial][] = [
    ['cpu_shares', { cpuShares: -1n }],
    ['cpu_period', { cpuPeriod: 1n }],
    ['cpu_quota', { cpuQuota: 5n }],
    ['cpuset_cpus', { cpusetCpus: '0;rm' }],
    ['cpuset_mems', { cpusetMems: '0-' }],
    ['oom_score_adj', { oomScoreAdj: 1001n }],
    ['memory_swap_limit_in_bytes', { memoryLimitInBytes: 64n, memorySwapLimitInBytes: 1n }],
    ['unified["../memory.max"]', { unified: { '../memory.max': '1' } }],
    ['unified["memory.max"]', { unified: { 'memory.max': '\0' } }],
    ['hugepage_limits[0].page_size', { hugepageLimits: [{ pageSize: '2M', limit: 0n }] }],
  ];
  for (const [field, partial] of refused) {
    const error = t.throws(() => parse(partial), { instanceOf: CriError }, field);
    t.is(error?.code, StatusCode.INVALID_ARGUMENT);
    t.true(error?.message.startsWith(`linux.${field}: `), error?.message);
  }
});

test('a pod ignores negative CPU shares of the kubelet', (t) => {
  const pod = podLimits(LinuxContainerResources.create({ cpuShares: -100n, cpuQuota: 10n }), 'resources');
  t.deepEqual(pod, { cpuQuota: 10 });
});
