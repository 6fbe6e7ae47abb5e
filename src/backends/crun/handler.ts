import { join } from 'node:path';
import { defineHandler } from '../handler.ts';
import { initKey } from '../init-key.ts';

/** A pod is a set of pinned namespaces and a cgroup. */
export const crun = defineHandler({
  name: 'crun',
  summary: 'pods are pinned namespaces and a cgroup, without a process of their own unless they share a PID namespace',
  keys: { init: initKey },
  make: async ({ init }, { state, host, inScopes, logger }) => {
    const { CrunSandboxProvider } = await import('./crun-sandbox-provider.ts');
    const statePath = join(state, 'crun-sandboxes');
    return { ...host, sandboxes: inScopes(new CrunSandboxProvider({ statePath, init, logger })) };
  },
});
