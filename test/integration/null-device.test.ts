import test from 'ava';
import { chown, stat } from 'node:fs/promises';
import { NamespaceMode, RuntimeServiceService } from '../../api/gen/cri.ts';
import { ServerFixture } from './server-fixture.ts';
import { ChannelClient, execUrl } from './streaming-client.ts';

const USER = 4711n;
const ids = { hostId: 2_000_000_000, containerId: 0, length: 65_536 };
const usernsOptions = { mode: NamespaceMode.POD, uids: [ids], gids: [ids] };

for (const handler of ['lxc', 'crun']) {
  for (const [what, options] of [
    ["the node's ids", {}],
    ['a user namespace', { usernsOptions }],
  ] as const) {
    test.serial(`${handler}: no container owns the node's /dev/null, with ${what}`, async (t) => {
      const before = await stat('/dev/null');
      t.teardown(() => chown('/dev/null', before.uid, before.gid));
      const server = await ServerFixture.make(t);
      const linux = { securityContext: { namespaceOptions: options } };
      const pod = await server.pod('p', { linux }, handler);
      const owner = async (event: string) => {
        const { uid, gid, mode } = await stat('/dev/null');
        t.deepEqual([uid, gid, mode], [before.uid, before.gid, before.mode], event);
      };
      for (const tty of [false, true]) {
        for (const stdin of [false, true]) {
          const name = `c${String(tty)}${String(stdin)}`;
          const securityContext = { runAsUser: { value: USER }, namespaceOptions: options };
          const id = await server.sh(pod, name, 'sleep 1000', { tty, stdin, linux: { securityContext } });
          await owner(`create ${name}`);
          await server.exec(id, 'true');
          await owner(`ExecSync in ${name}`);
          const client = await ChannelClient.open(await execUrl(server, id, ['true'], { tty, stdin, stderr: !tty }));
          await client.closed;
          await owner(`exec in ${name}`);
          await server.client.call(RuntimeServiceService.removeContainer, { containerId: id });
        }
      }
    });
  }
}
