import test from 'ava';
import { ProxmoxLxcSandboxProvider } from '../../src/backends/proxmox/lxc/proxmox-lxc-provider.ts';
import { openProxmox } from '../../src/proxmox-node.ts';
import { behavesAsProvider } from '../integration/sandbox-behaviour.ts';
import { NodeFixture } from './pve-node.ts';

let node: NodeFixture;
test.before(async () => {
  node = await NodeFixture.make();
});
test.after.always(() => node.close());

behavesAsProvider(test, (state, logger) => {
  const proxmox = openProxmox(node.config(`${state}/.programs`));
  return new ProxmoxLxcSandboxProvider({
    proxmox,
    directory: state,
    init: '/usr/bin/catatonit',
    annotationNamespaces: [],
    logger,
  });
});
