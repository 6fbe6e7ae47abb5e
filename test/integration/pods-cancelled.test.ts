import test from 'ava';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { RuntimeServiceService } from '../../api/gen/cri.ts';
import { StatusCode } from '../../src/core/model/errors.ts';
import { eventually } from '../lib/eventually.ts';
import { hang } from './hanging-plugin.ts';
import { inventory, leftovers } from './leaks.ts';
import { oneServer } from './server-fixture.ts';
import type { ServerFixture } from './server-fixture.ts';

const one = oneServer(test);

const leases = async ({ directory, bridge }: ServerFixture) => {
  const names = await readdir(join(directory, 'ipam', `net-${bridge}`)).catch(() => []);
  return names.filter((name) => name.startsWith('10.'));
};

/** The code with which RunPodSandbox of a pod failed, once it has failed. */
function outcome(server: ServerFixture, pod: string): Promise<string> {
  const failure = new RegExp(`RunPodSandbox failed.*"pod":"test/${pod}".*"code":"(\\w+)"`);
  return eventually('the end of the call', async () => failure.exec(await server.log())?.[1]);
}

/** What the plugin of the test has recorded. */
const ignored = (line: string) => /\/journal\S*$/.test(line);

for (const handler of ['lxc', 'crun']) {
  test.serial(`a cancelled RunPodSandbox leaves nothing: ${handler}`, async (t) => {
    const server = await one(t);
    const { client } = server;
    await server.pod('warm', {}, handler);
    await server.clear();
    const before = await inventory(server);
    const { calls, release } = await hang(server);
    const request = { config: server.podConfig(`cut-${handler}`), runtimeHandler: handler };
    const run = (options: object) => client.call(RuntimeServiceService.runPodSandbox, request, options);
    const caller = new AbortController();
    const answer = run({ signal: caller.signal });
    await eventually('a plugin at work', async () => (await calls()).includes('ADD'));
    caller.abort();
    await t.throwsAsync(answer, { code: StatusCode.CANCELLED } as object);
    t.is(await outcome(server, `cut-${handler}`), 'CANCELLED');
    t.deepEqual(await calls(), ['ADD', 'DEL']);
    t.deepEqual(await leases(server), []);
    t.deepEqual(await leftovers(server, before, ignored), []);
    await release();
    const { podSandboxId } = await run({});
    t.deepEqual(
      (await server.client.call(RuntimeServiceService.listPodSandbox, { filter: undefined })).items.map(({ id }) => id),
      [podSandboxId],
    );
  });
}

test.serial("the caller's deadline ends the pod's waiting operations", async (t) => {
  const server = await one(t);
  const { calls, release } = await hang(server);
  const request = { config: server.podConfig('late'), runtimeHandler: '' };
  const answer = server.client.call(RuntimeServiceService.runPodSandbox, request, { timeoutMs: 5000 });
  await t.throwsAsync(answer, { code: StatusCode.DEADLINE_EXCEEDED } as object);
  t.true(['CANCELLED', 'DEADLINE_EXCEEDED'].includes(await outcome(server, 'late')), 'whoever noticed first');
  t.deepEqual(await leases(server), []);
  t.true(['', 'ADD DEL'].includes((await calls()).join(' ')));
  await release();
});
