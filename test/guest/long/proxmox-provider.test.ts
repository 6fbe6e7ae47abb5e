import test from 'ava';
import { ProxmoxLxcSandboxProvider } from '../../../src/backends/proxmox/lxc/proxmox-lxc-provider.ts';
import { PodNetworks } from '../../../src/backends/proxmox/network/pod-networks.ts';
import { CriError, StatusCode } from '../../../src/core/model/errors.ts';
import type { Logger } from '../../../src/core/model/logger.ts';
import { openProxmox } from '../../../src/proxmox-node.ts';
import { behavesAsProvider } from '../../integration/sandbox-behaviour.ts';
import { SandboxFixture } from '../../integration/sandbox-fixture.ts';
import { NodeFixture } from '../pve-node.ts';

let node: NodeFixture;
test.before(async () => {
  node = await NodeFixture.make();
});
test.after.always(() => node.close());

const make = (state: string, logger: Logger) => {
  const proxmox = openProxmox(node.config(`${state}/.programs`));
  return new ProxmoxLxcSandboxProvider({
    proxmox,
    directory: state,
    init: '/usr/bin/catatonit',
    annotationNamespaces: [],
    networks: new PodNetworks(proxmox, logger),
    managesNetwork: false,
    warmPoolSize: 0,
    logger,
  });
};

behavesAsProvider(test, make);

test.serial('a cluster that does not answer fails pods, not the node', async (t) => {
  const fixture = await SandboxFixture.make(t, make);
  await node.cluster.setDown('pve1', true);
  t.is(await fixture.provider.unavailableBecause(), undefined);
  const refused = { instanceOf: CriError, code: StatusCode.UNAVAILABLE };
  await t.throwsAsync(
    fixture.provider.create(await fixture.spec(), () => Promise.resolve()),
    refused,
  );
  await node.cluster.setDown('pve1', false);
  t.deepEqual(await fixture.provider.list(), []);
});
