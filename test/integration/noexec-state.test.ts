import test from 'ava';
import { rm, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { NamespaceMode } from '../../api/gen/cri.ts';
import { run } from '../../src/host/processes/run.ts';
import { unmountBelow } from '../lib/mounts.ts';
import { ServerFixture } from './server-fixture.ts';

const ids = { hostId: 2_000_000_000, containerId: 0, length: 65_536 };
const usernsOptions = { mode: NamespaceMode.POD, uids: [ids], gids: [ids] };

for (const handler of ['lxc', 'crun']) {
  // As Debian's initramfs mounts /run.
  test.serial(`${handler}: pods run with a state directory mounted noexec`, async (t) => {
    const server = await ServerFixture.make(t);
    await server.end('SIGTERM');
    const state = join(server.directory, 'state');
    await unmountBelow(state);
    await rm(state, { recursive: true });
    await mkdir(state);
    await run('mount', ['-t', 'tmpfs', '-o', 'nosuid,nodev,noexec,mode=755', 'state', state]);
    t.teardown(async () => {
      await server.clear();
      await server.end('SIGTERM');
      await run('umount', ['--recursive', '--', state]);
    });
    await server.start();
    const shared = { pid: NamespaceMode.POD };
    const variants = [{}, shared, { usernsOptions }, { ...shared, usernsOptions }];
    for (const [index, namespaceOptions] of variants.entries()) {
      const securityContext = { namespaceOptions };
      const pod = await server.pod(`p${String(index)}`, { linux: { securityContext } }, handler);
      const container = await server.sh(pod, 'c', 'exit 3', { linux: { securityContext } });
      t.is((await server.exit(container)).exitCode, 3);
    }
  });
}
