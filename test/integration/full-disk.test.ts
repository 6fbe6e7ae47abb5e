import test from 'ava';
import type { ExecutionContext } from 'ava';
import { mkdir, open, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ContainerState, Mount, PodSandboxState, RuntimeServiceService } from '../../api/gen/cri.ts';
import { ImageStoreService } from '../../api/gen/proxmoxlxcri/v1/images.ts';
import { StatusCode } from '../../src/core/model/errors.ts';
import type { CriError } from '../../src/core/model/errors.ts';
import { run } from '../../src/host/processes/run.ts';
import { isErrno } from '../../src/utils/errors.ts';
import { sharedOn } from '../lib/handlers.ts';
import { unmountBelow } from '../lib/mounts.ts';
import { ServerFixture } from './server-fixture.ts';

const full = { begin: fill, end: (path: string) => rm(join(path, 'filler')) };
const readOnly = {
  begin: (path: string) => run('mount', ['-o', 'remount,ro', '--', path]).then(() => undefined),
  end: (path: string) => run('mount', ['-o', 'remount,rw', '--', path]).then(() => undefined),
};
/** What happens to the filesystem of one of the server's directories, on which handler, and how it is repaired. */
const troubles = [
  { trouble: 'full', place: 'root', on: 'crun', ...full },
  { trouble: 'full', place: 'state', on: 'lxc', ...full },
  { trouble: 'read-only', place: 'root', on: 'crun', ...readOnly },
] as const;

for (const { trouble, place, on, begin, end } of troubles) {
  for (const handler of sharedOn(on)) {
    test.serial(`${handler}: containers and pods survive a ${trouble} ${place}`, async (t) => {
      const server = await ServerFixture.make(t);
      const { client } = server;
      const path = await small(t, server, place);
      const [pod, other] = [await server.pod('p', {}, handler), await server.pod('other', {}, handler)];
      const stopped = await server.sh(pod, 'stopped', 'trap "exit 3" TERM; echo ready; while :; do sleep 0.1; done');
      const signals = join(server.directory, 'signals');
      await mkdir(signals);
      const ending = await server.sh(pod, 'ending', 'until [ -e /signals/end ]; do sleep 0.1; done; exit 4', {
        mounts: [Mount.create({ hostPath: signals, containerPath: '/signals' })],
      });
      const removed = await server.sh(pod, 'removed', 'exec sleep 1000');
      await server.said('p', 'stopped', 'ready');
      await begin(path);
      await t.throwsAsync(writeFile(join(path, 'more'), 'x'));

      const refused = await t.throwsAsync<CriError>(server.sh(pod, 'more', 'true'));
      if (trouble === 'full') t.is(refused.code, StatusCode.RESOURCE_EXHAUSTED);
      await writeFile(join(signals, 'end'), '');
      t.is((await server.exit(ending)).exitCode, 4);
      await client.call(RuntimeServiceService.stopContainer, { containerId: stopped, timeout: 300n });
      const { state, exitCode } = await server.status(stopped);
      t.deepEqual([state, exitCode], [ContainerState.CONTAINER_EXITED, 3]);
      await client.call(RuntimeServiceService.removeContainer, { containerId: removed });
      await client.call(RuntimeServiceService.removePodSandbox, { podSandboxId: other });
      await client.call(RuntimeServiceService.stopPodSandbox, { podSandboxId: pod });
      const seen = async () => {
        const { items } = await client.call(RuntimeServiceService.listPodSandbox, { filter: undefined });
        t.deepEqual(
          items.map(({ id, state: phase }) => [id, phase]),
          [[pod, PodSandboxState.SANDBOX_NOTREADY]],
        );
        const { containers } = await server.containers();
        t.deepEqual(containers.map(({ id }) => id).sort(), [stopped, ending].sort());
        t.is((await server.status(ending)).exitCode, 4);
      };
      await seen();

      await server.end('SIGKILL');
      await server.start();
      await seen();
      await client.call(RuntimeServiceService.removePodSandbox, { podSandboxId: pod });
      t.deepEqual((await server.containers()).containers, []);

      await end(path);
      await server.end('SIGTERM');
      await server.start();
      t.deepEqual((await client.call(RuntimeServiceService.listPodSandbox, { filter: undefined })).items, []);
      t.is((await server.exit(await server.sh(await server.pod('new', {}, handler), 'c', 'exit 5'))).exitCode, 5);
    });
  }
}

/** Puts one of the server's directories on a filesystem of its own; the root gets the fixture's image. */
async function small(t: ExecutionContext, server: ServerFixture, place: 'root' | 'state'): Promise<string> {
  const path = join(server.directory, place);
  await server.end('SIGTERM');
  await unmountBelow(path);
  await rm(path, { recursive: true });
  await mkdir(path);
  await run('mount', ['-t', 'tmpfs', '-o', 'size=32m,mode=711', place, path]);
  t.teardown(async () => {
    await server.clear().catch((error: unknown) => {
      t.log('cannot remove the pods', error);
    });
    await server.end('SIGKILL');
    await unmountBelow(server.directory);
  });
  await server.start();
  await server.client.call(ImageStoreService.import, { path: join(server.directory, 'tiny.tar'), reference: '' });
  return path;
}

async function fill(path: string): Promise<void> {
  const file = await open(join(path, 'filler'), 'w');
  try {
    for (const size of [1 << 20, 4096, 1]) {
      try {
        for (;;) await file.write(Buffer.alloc(size));
      } catch (error) {
        if (!isErrno(error, 'ENOSPC')) throw error;
      }
    }
  } finally {
    await file.close();
  }
}
