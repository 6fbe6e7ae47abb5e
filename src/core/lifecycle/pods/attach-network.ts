import type { Rollback } from '../../../utils/async/rollback.ts';
import type { Backend } from '../../model/backend.ts';
import type { Network, NetworkAttachment } from '../../model/network.ts';
import type { SandboxRecord } from '../../model/sandbox.ts';
import type { Placement } from '../../model/sandbox-provider.ts';
import { networkRequest } from './sandbox-spec.ts';

/** Kernel parameters of interfaces, which must be set before there are some. */
const OF_INTERFACES = /^net\.(ipv4|ipv6|mpls)\.(conf|neigh)\./;

/**
 * Gives a new pod a network that was prepared for it, where it can have one; its rollback is registered.
 * @returns the record with its attachment, or as it is.
 */
export async function claimNetwork(
  { network, sandboxes }: Backend,
  record: SandboxRecord,
  rollback: Rollback,
): Promise<SandboxRecord> {
  const { namespaces, sysctls } = record.spec;
  const fits =
    sandboxes.joinsNetworks === true &&
    namespaces.network === 'pod' &&
    // It would belong to the node's user namespace.
    namespaces.user === undefined &&
    !Object.keys(sysctls).some((name) => OF_INTERFACES.test(name));
  const claimed = fits ? await network.pool?.claim(networkRequest(record, undefined)) : undefined;
  if (claimed === undefined) return record;
  rollback.add('release the prepared network', () =>
    network.detach(networkRequest(record, claimed.prepared?.namespace), claimed),
  );
  return { ...record, network: claimed };
}

/**
 * Attaches a new sandbox to the pod network; its rollback is registered before a plugin runs. One that {@link claimNetwork} has
 * given is completed. A `signal` that fires cancels the running plugin.
 * @param keep writes the record with the started attachment, so that recovery can release the addresses if this process
 * dies meanwhile.
 */
export async function attachNetwork(
  network: Network,
  { record, placement }: { record: SandboxRecord; placement: Placement },
  keep: (record: SandboxRecord) => Promise<void>,
  rollback: Rollback,
  signal: AbortSignal | undefined,
): Promise<NetworkAttachment> {
  const request = networkRequest(record, placement.namespaces.network);
  let begun: NetworkAttachment | undefined;
  const progress = async (soFar: NetworkAttachment) => {
    await keep({ ...record, network: soFar });
    begun = soFar;
  };
  if (record.network !== undefined) return network.attach(request, progress, signal, record.network);
  rollback.add('detach the network', async () => {
    if (begun !== undefined) await network.detach(request, begun);
  });
  begun = await network.attach(request, progress, signal);
  return begun;
}
