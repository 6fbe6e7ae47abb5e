import test from 'ava';
import { PodSandboxState, RuntimeServiceService } from '../../api/gen/cri.ts';
import { eventually } from '../lib/eventually.ts';
import { hang } from './hanging-plugin.ts';
import { inventory, leftovers } from './leaks.ts';
import { ServerFixture } from './server-fixture.ts';

const { runPodSandbox, podSandboxStatus, removePodSandbox } = RuntimeServiceService;
const WAITED = /Waiting for commands of an earlier server/;
/** What the plugin of the test has recorded. */
const ignored = (line: string) => /\/journal\S*$/.test(line);

test.serial('a restart does not wait for a plugin that checks', async (t) => {
  const server = await ServerFixture.make(t);
  const plugin = await hang(server, ['CHECK']);
  const pod = await server.pod('p');
  await server.end('SIGKILL');
  await server.start();
  await eventually('a check', async () => (await plugin.calls()).includes('CHECK'));
  await server.end('SIGKILL');
  await server.start();
  t.notRegex(await server.log(), WAITED);
  await server.client.call(removePodSandbox, { podSandboxId: pod });
  t.is((await plugin.calls()).at(-1), 'DEL');
  await plugin.release();
  await plugin.proceed();
});

test.serial('a restart serves beside an ADD under way, and rolls it back afterwards', async (t) => {
  const server = await ServerFixture.make(t);
  await server.warm();
  const before = await inventory(server);
  const other = await server.pod('other');
  const plugin = await hang(server);
  const request = { config: server.podConfig('p'), runtimeHandler: '' };
  const cut = server.client.call(runPodSandbox, request);
  cut.catch(() => undefined);
  await eventually('a plugin at work', async () => (await plugin.calls()).includes('ADD'));
  await server.end('SIGKILL');
  await t.throwsAsync(cut);
  await server.start({ settled: false });
  t.notRegex(await server.log(), WAITED);
  const { status } = await server.client.call(podSandboxStatus, { podSandboxId: other, verbose: false });
  t.is(status?.state, PodSandboxState.SANDBOX_READY);
  await plugin.release();
  const again = server.client.call(runPodSandbox, request);
  await server.exit(await server.sh(other, 'c', 'true'));
  t.deepEqual(await plugin.calls(), ['ADD'], 'nothing before the earlier ADD has ended');
  await plugin.proceed();
  await again;
  t.deepEqual(await plugin.calls(), ['ADD', 'DEL', 'ADD']);
  await server.clear();
  t.deepEqual(await leftovers(server, before, ignored), []);
});
