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
import { programFile } from '../lib/program.ts';

const namespaceOptions = { network: NamespaceMode.NODE, pid: NamespaceMode.CONTAINER };
const linux = { securityContext: { namespaceOptions } };

test('pods of an added handler survive a server restart', async (t) => {
  const extra = '[handlers.bare]\nnote = "hello"\n';
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
  const describe = async () => {
    const request = PodSandboxStatusRequest.create({ podSandboxId: pod, verbose: true });
    const { info } = await server.client.call(RuntimeServiceService.podSandboxStatus, request);
    return JSON.parse(info['info'] ?? '{}') as object;
  };
  t.like(await describe(), { limits: { resources: { memory: 2 ** 30 } } });

  await server.end('SIGKILL');
  await server.start();
  t.is((await server.exec(container, 'echo', 'y')).stdout.toString(), 'y\n');
  t.is(await server.output('web', 'app'), 'from a bare pod\n');
  t.like(await describe(), { provider: 'bare', note: 'hello' });

  const refused = await t.throwsAsync<Error & { code: number }>(server.pod('other', {}, 'bare'));
  t.is(refused?.code, StatusCode.INVALID_ARGUMENT);
  t.regex(refused?.message ?? '', /namespace_options\.network/);
});
