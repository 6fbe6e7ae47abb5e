import test from 'ava';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { RuntimeServiceService } from '../../api/gen/cri.ts';
import { CriError, StatusCode } from '../../src/core/model/errors.ts';
import { run } from '../../src/host/processes/run.ts';
import { HANG_MS } from '../lib/eventually.ts';
import { inventory, leftovers } from './leaks.ts';
import { oneServer } from './server-fixture.ts';

const one = oneServer(test);
const { execSync, stopContainer, removePodSandbox } = RuntimeServiceService;
/** Answers to a call that may be repeated later. */
const TEMPORARY: StatusCode[] = [StatusCode.UNAVAILABLE, StatusCode.RESOURCE_EXHAUSTED];

for (const handler of ['lxc', 'crun']) {
  test.serial(`${handler}: a server without file descriptors recovers`, async (t) => {
    const server = await one(t);
    await server.warm();
    const before = await inventory(server);
    const pod = await server.pod('p', {}, handler);
    const ending = await server.sh(pod, 'ending', 'until [ -e /dev/shm/go ]; do usleep 20000; done; exit 7');
    const stopped = await server.sh(pod, 'stopped', "trap 'exit 3' TERM; echo ready; while :; do usleep 20000; done");
    await server.said('p', 'stopped', 'ready');
    const pid = await firstProcess(ending);
    const open = (await readdir(`/proc/${String(server.pid)}/fd`)).length;
    const limit = (soft: number) => run('prlimit', ['--pid', String(server.pid), `--nofile=${String(soft)}:`]);
    const { stdout } = await run('prlimit', ['--pid', String(server.pid), '--nofile', '--noheadings', '--output=SOFT']);

    await limit(open);
    const stop = () => {
      return server.client.call(stopContainer, { containerId: stopped, timeout: 3600n }, { timeoutMs: HANG_MS });
    };
    // It may be able to send the signal and then not see the end.
    const stopping = temporary('StopContainer', stop);
    const calls = {
      RunPodSandbox: () => server.pod('more', {}, handler),
      CreateContainer: () => server.create(pod, 'more', { command: ['true'] }),
      ExecSync: () => server.client.call(execSync, { containerId: ending, cmd: ['true'], timeout: 300n }),
    };
    for (const [name, call] of Object.entries(calls)) await temporary(name, call);
    t.is((await server.containers()).containers.length, 2);
    await run('touch', [join(`/proc/${String(pid)}/root`, 'dev/shm/go')]);

    await limit(Number(stdout));
    t.is((await server.exit(ending)).exitCode, 7);
    await stopping;
    await stop();
    t.is((await server.exit(stopped)).exitCode, 3);
    t.is((await server.exit(await server.sh(pod, 'more', 'exit 5'))).exitCode, 5);
    await server.client.call(removePodSandbox, { podSandboxId: pod });
    await server.clear();
    t.deepEqual(await leftovers(server, before), []);

    async function temporary(name: string, call: () => Promise<unknown>): Promise<void> {
      const error = await call().then(
        () => undefined,
        (failure: unknown) => failure,
      );
      const isTemporary = error instanceof CriError && TEMPORARY.includes(error.code);
      t.true(error === undefined || isTemporary, `${name}: ${String(error)}`);
    }

    async function firstProcess(id: string): Promise<number> {
      const answer = await server.client.call(RuntimeServiceService.containerStatus, {
        containerId: id,
        verbose: true,
      });
      return (JSON.parse(answer.info['info'] ?? '{}') as { pid: number }).pid;
    }
  });
}
