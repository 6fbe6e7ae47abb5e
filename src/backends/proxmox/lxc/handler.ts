import { z } from 'zod';
import { defineHandler } from '../../handler.ts';
import { initKey } from '../../init-key.ts';
import { rootfsKey } from '../../rootfs-key.ts';

/** A pod is one container of Proxmox VE. */
export const proxmoxLxc = defineHandler({
  name: 'proxmox-lxc',
  summary: 'pods are containers of Proxmox VE on this node; it is there when proxmox.hosts is set',
  keys: {
    init: initKey,
    annotation_namespaces: z
      .array(z.string().min(1))
      .default([])
      .describe(
        'namespaces whose pods may choose settings of their guests by annotations, see docs/proxmox.md; `*` stands for any characters',
      )
      .meta({ examples: [['infra', 'team-*']] }),
    rootfs: rootfsKey,
  },
  stateDirectory: 'proxmox-lxc',
  needsProxmox: true,
  make: async (
    { init, annotation_namespaces: annotationNamespaces },
    { directory, proxmox, host, inScopes, logger },
  ) => {
    const { ProxmoxLxcSandboxProvider } = await import('./proxmox-lxc-provider.ts');
    const sandboxes = new ProxmoxLxcSandboxProvider({
      proxmox: proxmox(),
      directory,
      init,
      annotationNamespaces,
      logger,
    });
    return { ...host, sandboxes: inScopes(sandboxes) };
  },
});
