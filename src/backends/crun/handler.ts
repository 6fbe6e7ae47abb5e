import { defineHandler } from '../handler.ts';
import { initKey } from '../init-key.ts';
import { rootfsKey } from '../rootfs-key.ts';

/** A pod is a set of pinned namespaces and a cgroup. */
export const crun = defineHandler({
  name: 'crun',
  summary: 'pods are pinned namespaces and a cgroup, without a process of their own unless they share a PID namespace',
  keys: { init: initKey, rootfs: rootfsKey },
  stateDirectory: 'crun-sandboxes',
  make: async ({ init }, { directory, programs, host, inScopes, logger }) => {
    const { CrunSandboxProvider } = await import('./crun-sandbox-provider.ts');
    return { ...host, sandboxes: inScopes(new CrunSandboxProvider({ statePath: directory, programs, init, logger })) };
  },
});
