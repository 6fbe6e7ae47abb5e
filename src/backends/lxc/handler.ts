import { join } from 'node:path';
import { defineHandler } from '../handler.ts';
import { initKey } from '../init-key.ts';

/** A pod is one LXC container of liblxc on this host. */
export const lxc = defineHandler({
  name: 'lxc',
  summary: 'pods are LXC containers on this host',
  keys: { init: initKey },
  make: async ({ init }, { state, host, inScopes, logger }) => {
    const { LxcSandboxProvider } = await import('./lxc-sandbox-provider.ts');
    return { ...host, sandboxes: inScopes(new LxcSandboxProvider({ lxcPath: join(state, 'lxc'), init, logger })) };
  },
});
