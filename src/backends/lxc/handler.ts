import { defineHandler } from '../handler.ts';
import { initKey } from '../init-key.ts';
import { rootfsKey } from '../rootfs-key.ts';

/** A pod is one LXC container of liblxc on this host. */
export const lxc = defineHandler({
  name: 'lxc',
  summary: 'pods are LXC containers on this host',
  keys: { init: initKey, rootfs: rootfsKey },
  stateDirectory: 'lxc',
  make: async ({ init }, { directory, programs, host, inScopes, logger }) => {
    const { LxcSandboxProvider } = await import('./lxc-sandbox-provider.ts');
    return { ...host, sandboxes: inScopes(new LxcSandboxProvider({ lxcPath: directory, programs, init, logger })) };
  },
});
