import * as z from 'zod';
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
    network: z
      .enum(['cni', 'proxmox'])
      .default('cni')
      .describe(
        '"cni": networks of CNI, of which Proxmox VE shows nothing; "proxmox": proxmox.networks, as net0 of the guests. Running pods keep what they have',
      ),
    warm_pool_size: z
      .int()
      .min(0)
      .max(100)
      .default(0)
      .describe(
        'how many guests are started ahead, for pods that fit, so that RunPodSandbox need not wait for Proxmox to create and start one; 0 for none, see docs/proxmox.md',
      )
      .meta({ examples: [5] }),
    rootfs: rootfsKey,
  },
  stateDirectory: 'proxmox-lxc',
  needsProxmox: true,
  make: async (
    { init, network, annotation_namespaces: annotationNamespaces, warm_pool_size: warmPoolSize },
    { directory, proxmox, host, inScopes, logger },
  ) => {
    const [{ ProxmoxLxcSandboxProvider }, { PodNetworks }, { ProxmoxNetwork }] = await Promise.all([
      import('./proxmox-lxc-provider.ts'),
      import('../network/pod-networks.ts'),
      import('../network/proxmox-network.ts'),
    ]);
    const networks = new PodNetworks(proxmox(), logger);
    const sandboxes = new ProxmoxLxcSandboxProvider({
      proxmox: proxmox(),
      directory,
      init,
      annotationNamespaces,
      networks,
      managesNetwork: network === 'proxmox',
      warmPoolSize,
      logger,
    });
    return {
      ...host,
      ...(network === 'proxmox' && { network: new ProxmoxNetwork(networks, host.network) }),
      sandboxes: inScopes(sandboxes),
    };
  },
});
