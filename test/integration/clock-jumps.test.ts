import type { ExecutionContext } from 'ava';
import { availableParallelism } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { ExecSyncRequest, RuntimeServiceService } from '../../api/gen/cri.ts';
import type { CriError } from '../../src/core/model/errors.ts';
import { StatusCode } from '../../src/core/model/errors.ts';
import { eventually, HANG_MS } from '../lib/eventually.ts';
import { sharedTest } from '../lib/handlers.ts';
import { ServerFixture } from './server-fixture.ts';
import { FAULTY_PROGRAM, Faults } from './walk-faults.ts';

const HOUR_MS = 3_600_000;
const { containerStats, execSync, removePodSandbox, stopContainer } = RuntimeServiceService;

async function make(t: ExecutionContext) {
  const server = await ServerFixture.make(t, '', { program: FAULTY_PROGRAM });
  return { server, faults: new Faults(server.directory) };
}

for (const handler of ['lxc', 'crun'] as const) {
  sharedTest(handler, 'lxc')(`${handler}: jumps of the clock change no timeout`, async (t) => {
    const { server, faults } = await make(t);
    const { client } = server;
    const ended = new AbortController();
    const swinging = swing(faults, ended.signal);
    try {
      const pod = await server.pod('p', {}, handler);
      const patient = await server.sh(
        pod,
        'patient',
        "trap 'sleep 2; exit 3' TERM; echo ready; while :; do sleep 0.1; done",
      );
      const stubborn = await server.sh(pod, 'stubborn', "trap '' TERM; echo ready; while :; do sleep 0.1; done");
      for (const name of ['patient', 'stubborn']) await server.said('p', name, 'ready');
      const exec = (timeout: bigint, ...cmd: string[]) =>
        client.call(execSync, ExecSyncRequest.create({ containerId: patient, cmd, timeout }), { timeoutMs: HANG_MS });
      t.is((await exec(300n, 'sh', '-c', 'sleep 2; exit 7')).exitCode, 7);
      const late = await t.throwsAsync<CriError>(exec(1n, 'sleep', '1000'));
      t.is(late.code, StatusCode.DEADLINE_EXCEEDED);
      const stop = (containerId: string, timeout: bigint) =>
        client.call(stopContainer, { containerId, timeout }, { timeoutMs: HANG_MS });
      await stop(patient, 300n);
      await stop(stubborn, 1n);
      t.is((await server.status(patient)).exitCode, 3);
      t.is((await server.status(stubborn)).exitCode, 137);
      await client.call(removePodSandbox, { podSandboxId: pod });
    } finally {
      ended.abort();
      await swinging;
    }
  });

  sharedTest(handler, 'crun')(`${handler}: times of a container never decrease`, async (t) => {
    const { server, faults } = await make(t);
    await faults.setClock(HOUR_MS);
    const pod = await server.pod('p', {}, handler);
    const late = await server.create(pod, 'late', { command: ['true'] });
    const running = await server.sh(pod, 'running', 'until [ -e /dev/shm/go ]; do usleep 20000; done; exit 4');
    // The next server has a clock that is an hour behind.
    await server.end('SIGTERM');
    await server.start();
    await server.client.call(RuntimeServiceService.startContainer, { containerId: late });
    await server.exec(running, 'touch', '/dev/shm/go');
    for (const id of [late, running]) {
      const { createdAt, startedAt, finishedAt } = await server.exit(id);
      t.true(createdAt <= startedAt && startedAt <= finishedAt, `${createdAt} ${startedAt} ${finishedAt}`);
    }
  });

  sharedTest(handler, 'crun')(`${handler}: CPU rates stay possible when the clock jumps`, async (t) => {
    const { server, faults } = await make(t);
    const id = await server.sh(await server.pod('p', {}, handler), 'busy', 'while :; do :; done');
    const cpu = async () => {
      const { stats } = await server.client.call(containerStats, { containerId: id });
      return { at: stats?.cpu?.timestamp ?? 0n, used: stats?.cpu?.usageCoreNanoSeconds?.value ?? 0n };
    };
    let before = await cpu();
    for (const offset of [HOUR_MS, 0, -HOUR_MS, 0]) {
      await faults.setClock(offset);
      // One that was taken just before answers as well.
      const first = await eventually('a sample after the jump', async () => {
        const next = await cpu();
        return next.at > before.at && next;
      });
      await sleep(1000);
      const second = await cpu();
      const rate = Number(second.used - first.used) / Number(second.at - first.at);
      t.true(rate > 0 && rate <= 4 * availableParallelism(), `${offset}: ${rate} processors`);
      before = second;
    }
  });
}

/** Sets the server's clock forward and back by an hour, until the signal. */
async function swing(faults: Faults, signal: AbortSignal): Promise<void> {
  for (let offset = HOUR_MS; !signal.aborted; offset = HOUR_MS - offset) {
    await faults.setClock(offset);
    await sleep(5);
  }
}
