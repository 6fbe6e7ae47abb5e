import type { Rollback } from '../../../utils/async/rollback.ts';
import type { Network, NetworkAttachment } from '../../model/network.ts';
import type { SandboxRecord } from '../../model/sandbox.ts';
import type { Placement } from '../../model/sandbox-provider.ts';
import { networkRequest } from './sandbox-spec.ts';

/**
 * Attaches a new sandbox to the pod network; its rollback is registered before a plugin runs. A `signal` that fires
 * cancels the running plugin.
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
  rollback.add('detach the network', async () => {
    if (begun !== undefined) await network.detach(request, begun);
  });
  const progress = async (soFar: NetworkAttachment) => {
    await keep({ ...record, network: soFar });
    begun = soFar;
  };
  begun = await network.attach(request, progress, signal);
  return begun;
}
