import test from 'ava';
import { ContainerSnapshots } from '../../../../../src/core/lifecycle/containers/container-snapshots.ts';
import type { ContainerRecord } from '../../../../../src/core/model/container.ts';
import { CriError, StatusCode, unavailable } from '../../../../../src/core/model/errors.ts';
import type { RootfsSnapshot, SnapshotKind } from '../../../../../src/core/model/rootfs-snapshots.ts';
import { systemClock } from '../../../../../src/utils/time/system-clock.ts';
import { silent } from '../../../../integration/images-fixture.ts';

const { FAILED_PRECONDITION, INVALID_ARGUMENT, NOT_FOUND } = StatusCode;

/** Snapshots of one container whose store, runner and mounts write down what is asked of them. */
function made(phase: ContainerRecord['phase'], more: { fails?: string; mapped?: string[] } = {}) {
  const steps: string[] = [];
  const all: RootfsSnapshot[] = [];
  const step = async (name: string) => {
    steps.push(name);
    if (name === more.fails) throw unavailable(`${name} failed`);
  };
  const snapshots = {
    create: async (_: string, name: string, kind: SnapshotKind) => {
      await step('create');
      all.push({ name, kind, createdAt: systemClock.now(), usedBytes: 0n, dependents: [] });
    },
    list: () => Promise.resolve([...all]),
    rollback: () => step('rollback'),
    remove: () => step('remove'),
  };
  const mounts = { sync: () => step('sync'), dropCache: () => step('dropCache') };
  const runner = {
    pause: () => step('pause'),
    resume: () => step('resume'),
    mappedFiles: () => Promise.resolve(more.mapped ?? []),
  };
  const record = { id: 'c', sandboxId: 'p', phase, rootfsStore: 'zfs:tank/x' };
  const backend = { runner, platform: { rootfs: mounts } };
  const service = new ContainerSnapshots({
    containers: { exclusive: (_: string, task: (record: unknown) => unknown) => task(record) },
    pods: { backendOf: () => backend },
    stores: { find: (name: string) => (name === record.rootfsStore ? { name, snapshots } : undefined) },
    retention: { keepCount: 0, keepDays: 0 },
    clock: systemClock,
    logger: silent,
  } as unknown as ConstructorParameters<typeof ContainerSnapshots>[0]);
  return { service, steps, all };
}

const LATEST = { name: '', discardNewer: false, force: false };

test('a running container is frozen only while it is needed', async (t) => {
  const { service, steps } = made('running');
  await service.checkpoint('c', {});
  t.deepEqual(steps.splice(0), ['sync', 'pause', 'sync', 'create', 'resume']);
  await service.restore('c', LATEST);
  t.deepEqual(steps, ['pause', 'sync', 'rollback', 'dropCache', 'resume']);
});

for (const phase of ['created', 'exited'] as const) {
  test(`a container that is ${phase} is not frozen`, async (t) => {
    const { service, steps } = made(phase);
    t.is((await service.checkpoint('c', {})).frozenMs, 0);
    t.false(steps.includes('pause'));
  });
}

for (const fails of ['create', 'rollback', 'dropCache']) {
  test(`a container continues when ${fails} fails`, async (t) => {
    const { service, steps, all } = made('running', { fails });
    all.push({ name: 'one', kind: 'checkpoint', createdAt: 0n, usedBytes: 0n, dependents: [] });
    const call = fails === 'create' ? service.checkpoint('c', {}) : service.restore('c', LATEST);
    await t.throwsAsync(call, { message: `${fails} failed` });
    t.is(steps.at(-1), 'resume');
  });
}

test('mapped files refuse a restore, unless it is forced', async (t) => {
  const { service, steps } = made('running', { mapped: ['/db'] });
  await service.checkpoint('c', {});
  steps.length = 0;
  await t.throwsAsync(service.restore('c', LATEST), { code: FAILED_PRECONDITION, message: /mapped \/db for writing/ });
  t.deepEqual(steps.splice(0), ['pause', 'sync', 'resume']);
  await service.restore('c', { ...LATEST, force: true });
  t.true(steps.includes('rollback'));
});

test('a checkpoint stays when removing older ones fails', async (t) => {
  const { service } = made('exited', { fails: 'remove' });
  await service.checkpoint('c', {});
  t.deepEqual((await service.checkpoint('c', { keepCount: 1 })).removed, []);
});

test('names and states that do not fit are refused', async (t) => {
  const { service, all } = made('exited');
  const refused = (call: () => Promise<unknown>, code: StatusCode) =>
    t.throwsAsync(async () => call(), { instanceOf: CriError, code });
  for (const name of ['a/b', '-x', '@', 'ä', 'x'.repeat(101)]) {
    await refused(() => service.create('c', name), INVALID_ARGUMENT);
  }
  await refused(() => service.restore('c', LATEST), FAILED_PRECONDITION);
  await refused(() => service.restore('c', { ...LATEST, name: 'none' }), NOT_FOUND);
  await refused(() => service.remove('c', 'none'), NOT_FOUND);
  t.regex((await service.create('c', '')).name, /^snapshot-\d{4}-/);
  all.push({ name: 'mine', kind: undefined, createdAt: 0n, usedBytes: 0n, dependents: [] });
  await refused(() => service.remove('c', 'mine'), FAILED_PRECONDITION);
  all.push({ name: 'cloned', kind: 'snapshot', createdAt: 0n, usedBytes: 0n, dependents: ['clone x'] });
  await refused(() => service.restore('c', { name: 'mine', discardNewer: true, force: false }), FAILED_PRECONDITION);
});
