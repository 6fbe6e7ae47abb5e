import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import {
  NamespaceMode,
  PodSandboxStatusRequest,
  RuntimeServiceService,
  StatusRequest,
  UpdatePodSandboxResourcesRequest,
} from '../../api/gen/cri.ts';
import { StatusCode } from '../../src/core/model/errors.ts';
import { ServerFixture } from './server-fixture.ts';
import { eventually } from '../lib/eventually.ts';
import { programFile } from '../lib/program.ts';

const namespaceOptions = { network: NamespaceMode.NODE, pid: NamespaceMode.CONTAINER };
const linux = { securityContext: { namespaceOptions } };

test('pods of an added handler survive a server restart', async (t) => {
  const rule = '[[routing]]\nname = "critical"\nnamespaces = ["te*"]\nlabels.tier = "critical"\nhandler = "bare"\n';
  const extra = `[handlers.bare]\nnote = "hello"\n${rule}`;
  const server = await ServerFixture.make(t, extra, { program: programFile('handler') });
  const { runtimeHandlers } = await server.client.call(RuntimeServiceService.status, StatusRequest.create());
  t.true(runtimeHandlers.some(({ name }) => name === 'bare'));

  const pod = await server.pod('web', { linux }, 'bare');
  const container = await server.sh(pod, 'app', 'echo from a bare pod; sleep 1000', { linux });
  t.is((await server.exec(container, 'echo', 'x')).stdout.toString(), 'x\n');

  const { stats } = await server.client.call(RuntimeServiceService.podSandboxStats, { podSandboxId: pod });
  t.true((stats?.linux?.process?.processCount?.value ?? 0n) >= 1n);
  t.deepEqual(
    stats?.linux?.containers.map(({ attributes }) => attributes?.id),
    [container],
  );
  const limits = { podSandboxId: pod, resources: { memoryLimitInBytes: 1n << 30n } };
  await server.client.call(
    RuntimeServiceService.updatePodSandboxResources,
    UpdatePodSandboxResourcesRequest.create(limits),
  );
  const describe = async (podSandboxId = pod) => {
    const request = PodSandboxStatusRequest.create({ podSandboxId, verbose: true });
    const { info } = await server.client.call(RuntimeServiceService.podSandboxStatus, request);
    return JSON.parse(info['info'] ?? '{}') as object;
  };
  t.like(await describe(), { limits: { resources: { memory: 2 ** 30 } } });

  // A rule chooses for a pod that names none.
  const config = server.podConfig('routed', { linux, labels: { tier: 'critical' } });
  const run = async (runtimeHandler = '') =>
    (await server.client.call(RuntimeServiceService.runPodSandbox, { config, runtimeHandler })).podSandboxId;
  const routed = await run();
  t.like(await describe(), { handlerChosenBy: 'runtime_handler' });
  t.like(await describe(routed), { provider: 'bare', handlerChosenBy: 'routing[0] (critical)' });
  t.regex(await server.log(), /RunPodSandbox succeeded.*test\/routed.*"handlerChosenBy":"routing\[0\] \(critical\)"/);
  const file = join(server.directory, 'config.toml');
  await writeFile(file, (await readFile(file, 'utf8')).replace('labels.tier', 'privileged = true\nlabels.tier'));
  server.signal('SIGHUP');
  await eventually('the reload', async () => (await server.log()).includes('"restartFor":["routing"]'));

  await server.end('SIGKILL');
  await server.start();
  t.is((await server.exec(container, 'echo', 'y')).stdout.toString(), 'y\n');
  t.is(await server.output('web', 'app'), 'from a bare pod\n');
  t.like(await describe(), { provider: 'bare', note: 'hello' });

  t.is(await run(), routed, 'a repeated pod keeps its handler');
  t.is((await t.throwsAsync<Error & { code: number }>(run('crun')))?.code, StatusCode.ALREADY_EXISTS);
  t.like(await describe(routed), { provider: 'bare', handlerChosenBy: 'routing[0] (critical)' });
  t.like(await describe(await server.pod('plain', { linux, labels: { tier: 'critical' } })), {
    handlerChosenBy: 'runtime.default_handler',
  });

  const refused = await t.throwsAsync<Error & { code: number }>(server.pod('other', {}, 'bare'));
  t.is(refused?.code, StatusCode.INVALID_ARGUMENT);
  t.regex(refused?.message ?? '', /namespace_options\.network/);
  t.regex(await server.log(), /RunPodSandbox failed.*test\/other.*"handlerChosenBy":"runtime_handler"/);
});
