import test from 'ava';
import { duplexPair } from 'node:stream';
import { LinuxResources } from '../../../../api/gen/nri.ts';
import { CriError, StatusCode } from '../../../../src/core/model/errors.ts';
import { split } from '../../../../src/integrations/nri/synchronize.ts';
import { toPodSandbox } from '../../../../src/integrations/nri/map/pod.ts';
import type { TestPlugin } from '../../../lib/nri-plugin.ts';
import { container, logged, makePlugins, pod, spec } from './fixture.ts';

const about = (id = 'c') => ({ record: container(id), spec: () => Promise.resolve(spec()) });
const note = <T>(list: T[], item: T) => {
  list.push(item);
  return {};
};
const limits = (shares: bigint) => ({ resources: LinuxResources.fromPartial({ cpu: { shares: { value: shares } } }) });

test('a plugin is configured and told of what there is', async (t) => {
  const { connect, plugins } = makePlugins();
  t.true(plugins.isIdle);
  const seen: unknown[] = [];
  await connect(
    '10-a',
    {
      configure: ({ config, requestTimeout }) => {
        seen.push(config, requestTimeout);
        return {};
      },
      synchronize: ({ pods, containers, more }) => {
        seen.push(pods[0]?.name, pods[0]?.ips, containers[0]?.name, containers[0]?.args, more);
        return {};
      },
    },
    'its: configuration',
  );
  t.deepEqual(seen, ['its: configuration', 300_000n, 'web', ['10.0.0.2'], 'name-c', ['sh'], false]);
  t.false(plugins.isIdle);
});

test('what does not fit into one message is split', async (t) => {
  const one = toPodSandbox(pod());
  const parts = [...split([one, one, one], [], 80)];
  t.deepEqual(
    parts.map(({ pods }) => pods.length),
    [1, 1, 1],
  );
  t.is([...split([], [])].length, 1);
  const large = { large: 'x'.repeat(1_500_000) };
  const many = ['a', 'b', 'c', 'd'].map((id) => container(id, { labels: large }));
  const { connect, log } = makePlugins({ containers: many });
  const seen: string[] = [];
  await connect('10-a', {
    synchronize: ({ pods, containers, more }) => {
      seen.push(...pods.map(({ id }) => id), ...containers.map(({ id }) => id), String(more));
      return {};
    },
  });
  t.deepEqual(seen, ['p', 'a', 'b', 'true', 'c', 'd', 'false']);
  await connect('20-old', { synchronize: () => ({ more: false }) });
  await logged(t, log, /20-old.*more than one message/);
});

test('plugins that do not say who they are are refused', async (t) => {
  const { connect, log, plugins } = makePlugins();
  for (const name of ['1x-a', '10-', '10-a/b']) await t.throwsAsync(() => connect(name), undefined, name);
  const hasty = makePlugins({ registrationTimeoutMs: 20 });
  const [near] = duplexPair();
  await hasty.plugins.connect(near, hasty.host);
  await logged(t, hasty.log, /no registration within/);
  await connect('10-b', { configure: () => ({ events: 1 << 20 }) });
  await logged(t, log, /10-b.*unknown events/);
  t.true(plugins.isIdle);
});

test('events come in order, to plugins in order, and only those that they want', async (t) => {
  const { connect, plugins } = makePlugins();
  const order: string[] = [];
  const second = await connect('20-b', { startContainer: () => note(order, 'b') });
  const first = await connect('10-a', { startContainer: () => note(order, 'a') });
  // StopContainer alone.
  const picky = await connect('30-c', { configure: () => ({ events: 1 << 9 }) });
  await plugins.runPod(pod());
  await Promise.all([
    plugins.startContainer(pod(), about()),
    plugins.containerStarted(pod(), about()),
    plugins.containerStopped(pod(), about()),
    plugins.containerRemoved(pod(), about()),
    plugins.podStopped(pod()),
    plugins.podRemoved(pod()),
  ]);
  t.deepEqual(order, ['a', 'b']);
  const all = ['RunPodSandbox p', 'StartContainer c', 'PostStartContainer c', 'StopContainer c', 'RemoveContainer c'];
  for (const plugin of [first, second])
    t.deepEqual(plugin.calls.slice(2), [...all, 'StopPodSandbox p', 'RemovePodSandbox p']);
  t.deepEqual(picky.calls.slice(2), ['StopContainer c']);
});

test('an error of a plugin refuses the request, and later events only log it', async (t) => {
  const { connect, plugins, log } = makePlugins();
  const refuse = () => Promise.reject(new Error('not today'));
  await connect('10-a', {
    runPodSandbox: refuse,
    startContainer: refuse,
    removePodSandbox: refuse,
    stopContainer: refuse,
  });
  const error = await t.throwsAsync(plugins.runPod(pod()), { instanceOf: CriError, message: /10-a.*not today/ });
  t.is(error?.code, StatusCode.UNKNOWN);
  await t.throwsAsync(plugins.startContainer(pod(), about()), { message: /not today/ });
  await plugins.podRemoved(pod());
  t.deepEqual(await plugins.containerStopped(pod(), about()), { updates: [], evictions: [] });
  await logged(t, log, /REMOVE_POD_SANDBOX.*not today/);
  t.false(plugins.isIdle);
});

test('a plugin that does not answer, or dies, is disconnected and the request goes on', async (t) => {
  const { connect, plugins, log } = makePlugins({ requestTimeoutMs: 50 });
  const silent = await connect('10-silent', { runPodSandbox: () => new Promise(() => undefined) });
  await plugins.runPod(pod());
  t.regex(await silent.ended, /./);
  await logged(t, log, /10-silent.*no answer within/);
  const dying: TestPlugin = await connect('20-dying', {
    startContainer: () => {
      dying.end();
      return {};
    },
  });
  await plugins.startContainer(pod(), about());
  t.true(plugins.isIdle);
});

test('older plugins get their events as state changes', async (t) => {
  const { connect, plugins } = makePlugins();
  const seen: number[] = [];
  const unimplemented = () => Promise.reject(new CriError(StatusCode.UNIMPLEMENTED, 'unknown method'));
  await connect('10-old', {
    runPodSandbox: unimplemented,
    updatePodSandbox: unimplemented,
    stateChange: ({ event }) => note(seen, event),
  });
  await plugins.runPod(pod());
  await plugins.updatePod(pod(), {});
  t.deepEqual(seen, [1, 12]);
});

test('nothing changes while a plugin is told of what there is', async (t) => {
  const { connect, plugins } = makePlugins();
  const told = Promise.withResolvers<object>();
  const reached = Promise.withResolvers<undefined>();
  const connecting = connect('10-a', {
    synchronize: async () => {
      reached.resolve(undefined);
      return told.promise;
    },
  });
  await reached.promise;
  const order: string[] = [];
  const change = plugins.amid(async () => {
    order.push('change');
    await plugins.runPod(pod());
  });
  const end = plugins.containerStopped(pod(), about());
  await new Promise(setImmediate);
  t.deepEqual(order, []);
  told.resolve({});
  const plugin = await connecting;
  await Promise.all([change, end]);
  t.deepEqual(plugin.calls.slice(2).sort(), ['RunPodSandbox p', 'StopContainer c']);
});

test('a change that hangs refuses a plugin, and holds up nobody', async (t) => {
  const { connect, plugins, log } = makePlugins({ registrationTimeoutMs: 1500 });
  const hang = Promise.withResolvers<string>();
  const change = plugins.amid(() => hang.promise);
  await connect('10-a');
  await logged(t, log, /10-a.*did not end within/);
  t.is(await plugins.amid(() => Promise.resolve('done')), 'done');
  hang.resolve('late');
  t.is(await change, 'late');
  t.true(plugins.isIdle);
});

test('plugins change limits and evict at any time', async (t) => {
  const { connect, changes, log, plugins } = makePlugins({ failing: ['bad'] });
  const plugin = await connect('10-a', {
    synchronize: () => ({ update: [{ containerId: 'c', linux: limits(7n), ignoreFailure: true }] }),
    stopContainer: () => ({ update: [{ containerId: 'd', linux: limits(9n), ignoreFailure: false }] }),
  });
  const update = ['good', 'bad'].map((containerId) => ({ containerId, linux: limits(512n), ignoreFailure: false }));
  const { failed } = await plugin.update({ update, evict: [{ containerId: 'e', reason: 'too old' }] });
  t.deepEqual(
    failed.map(({ containerId }) => containerId),
    ['bad'],
  );
  t.deepEqual(changes[0]?.updates, [{ containerId: 'c', limits: { cpuShares: 7 }, ignoreFailure: true }]);
  t.deepEqual(changes[1]?.evictions, [{ containerId: 'e', reason: '10-a: too old' }]);
  t.deepEqual((await plugins.containerStopped(pod(), about())).updates[0]?.limits, { cpuShares: 9 });
  const rdt = { resources: LinuxResources.fromPartial({ rdtClass: { value: 'gold' } }) };
  const odd = [true, false].map((ignoreFailure) => ({ containerId: 'c', linux: rdt, ignoreFailure }));
  t.deepEqual((await plugin.update({ update: odd })).failed, [odd[1]!]);
  await logged(t, log, /10-a.*rdt_class/);
});

test('plugins alter an update, each a limit of its own', async (t) => {
  const { connect, plugins } = makePlugins();
  const linux = {
    resources: LinuxResources.fromPartial({ memory: { limit: { value: 2n ** 20n } }, pids: { limit: 5n } }),
  };
  await connect('10-a', { updateContainer: () => ({ update: [{ containerId: 'c', linux, ignoreFailure: false }] }) });
  const second = await connect('20-b', {
    updateContainer: () => ({ update: [{ containerId: 'other', linux: limits(4n), ignoreFailure: false }] }),
  });
  const result = await plugins.updateContainer(pod(), about(), { cpuShares: 100, memory: 5 });
  t.deepEqual(result.limits, { cpuShares: 100, memory: 2 ** 20, pids: 5 });
  t.deepEqual(result.updates, [{ containerId: 'other', limits: { cpuShares: 4 }, ignoreFailure: false }]);
  second.answers = { updateContainer: () => ({ update: [{ containerId: 'c', linux, ignoreFailure: false }] }) };
  await t.throwsAsync(plugins.updateContainer(pod(), about(), {}), {
    message: /10-a and 20-b both want to set MemLimit/,
  });
});
