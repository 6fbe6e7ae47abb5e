import test from 'ava';
import type { ExecutionContext } from 'ava';
import { mkdir, open, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ContainerState, PodSandboxState, RuntimeServiceService } from '../../api/gen/cri.ts';
import { ImageStoreService } from '../../api/gen/proxmoxlxcri/v1/images.ts';
import { run } from '../../src/host/processes/run.ts';
import { isErrno } from '../../src/utils/errors.ts';
import { mountPointsBelow } from '../lib/mounts.ts';
import { ServerFixture } from './server-fixture.ts';

/** What happens to the root's filesystem, and how it is repaired. */
const troubles: Record<string, { begin: (root: string) => Promise<void>; end: (root: string) => Promise<void> }> = {
  full: { begin: fill, end: (root) => rm(join(root, 'filler')) },
  'read-only': {
    begin: (root) => run('mount', ['-o', 'remount,ro', '--', root]).then(() => undefined),
    end: (root) => run('mount', ['-o', 'remount,rw', '--', root]).then(() => undefined),
  },
};

for (const [trouble, { begin, end }] of Object.entries(troubles)) {
  for (const handler of ['lxc', 'crun']) {
    test.serial(`${handler}: containers and pods survive a ${trouble} root`, async (t) => {
      const server = await ServerFixture.make(t);
      const { client } = server;
      const root = await smallRoot(t, server);
      const [pod, other] = [await server.pod('p', {}, handler), await server.pod('other', {}, handler)];
      const stopped = await server.sh(pod, 'stopped', 'trap "exit 3" TERM; echo ready; while :; do sleep 0.1; done');
      const ending = await server.sh(pod, 'ending', 'until [ -e /dev/shm/go ]; do sleep 0.1; done; exit 4');
      const removed = await server.sh(pod, 'removed', 'exec sleep 1000');
      await server.said('p', 'stopped', 'ready');
      await begin(root);
      await t.throwsAsync(writeFile(join(root, 'more'), 'x'));

      await server.exec(ending, 'touch', '/dev/shm/go');
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

      await end(root);
      await server.end('SIGTERM');
      await server.start();
      t.deepEqual((await client.call(RuntimeServiceService.listPodSandbox, { filter: undefined })).items, []);
      t.is((await server.exit(await server.sh(await server.pod('new', {}, handler), 'c', 'exit 5'))).exitCode, 5);
    });
  }
}

/** Puts the server's root, with the fixture's image, on a filesystem of its own. */
async function smallRoot(t: ExecutionContext, server: ServerFixture): Promise<string> {
  const root = join(server.directory, 'root');
  await server.end('SIGTERM');
  await rm(root, { recursive: true });
  await mkdir(root);
  await run('mount', ['-t', 'tmpfs', '-o', 'size=32m,mode=711', 'root', root]);
  t.teardown(async () => {
    await server.clear().catch((error: unknown) => {
      t.log('cannot remove the pods', error);
    });
    await server.end('SIGKILL');
    for (const path of (await mountPointsBelow(server.directory)).reverse())
      await run('umount', ['-l', '--', path]).catch(() => undefined);
  });
  await server.start();
  await server.client.call(ImageStoreService.import, { path: join(server.directory, 'tiny.tar'), reference: '' });
  return root;
}

async function fill(root: string): Promise<void> {
  const file = await open(join(root, 'filler'), 'w');
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
  await readFile(join(root, 'reserve'));
}
