import test from 'ava';
import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import { NamespaceMode, PodSandboxState, RuntimeServiceService } from '../../api/gen/cri.ts';
import { run } from '../../src/host/processes/run.ts';
import { eventually } from '../lib/eventually.ts';
import { inventory, leftovers } from './leaks.ts';
import { ServerFixture } from './server-fixture.ts';

/** A pod whose PID namespace belongs to a pause process, on either handler. */
const sharedPid = {
  portMappings: [{ containerPort: 80, hostPort: 22_997 }],
  linux: { securityContext: { namespaceOptions: { pid: NamespaceMode.POD } } },
};

for (const handler of ['lxc', 'crun']) {
  test.serial(`${handler}: killing the pause process releases the pod's network`, async (t) => {
    const server = await ServerFixture.make(t);
    await server.warm();
    const before = await inventory(server);
    const pod = await server.pod('web', sharedPid, handler);
    await run('sh', [
      '-c',
      'for p in /proc/[0-9]*; do [ "$(cat "$p/comm" 2>/dev/null)" != init ] || kill -9 "${p#/proc/}"; done',
    ]);
    await eventually('NOTREADY', async () => (await stateOf(server, pod)) === PodSandboxState.SANDBOX_NOTREADY);
    await server.client.call(RuntimeServiceService.removePodSandbox, { podSandboxId: pod });
    t.deepEqual(await leftovers(server, before), [], 'NAT rules, addresses, interfaces');
  });

  test.serial(`${handler}: a pod without its directory is NOTREADY`, async (t) => {
    const server = await ServerFixture.make(t);
    await server.warm();
    const before = await inventory(server);
    const pod = await server.pod('web', sharedPid, handler);
    const [directory, elsewhere] = [
      join(server.directory, 'state/sandboxes', pod),
      join(server.directory, 'elsewhere'),
    ];
    await rename(directory, elsewhere);
    await eventually('NOTREADY', async () => (await stateOf(server, pod)) === PodSandboxState.SANDBOX_NOTREADY);
    await server.client.call(RuntimeServiceService.stopPodSandbox, { podSandboxId: pod });
    await server.client.call(RuntimeServiceService.removePodSandbox, { podSandboxId: pod });
    // Mounts in a moved directory belong to whoever moved it.
    const unmount = 'findmnt -rno TARGET | grep "^$1" | sort -r | xargs -r umount -l; rm -r "$1"';
    await run('sh', ['-c', unmount, 'sh', elsewhere]);
    t.deepEqual(await leftovers(server, before), []);
  });
}

async function stateOf(server: ServerFixture, podSandboxId: string): Promise<PodSandboxState | undefined> {
  const { status } = await server.client.call(RuntimeServiceService.podSandboxStatus, { podSandboxId, verbose: false });
  return status?.state;
}
