import { together } from '../../../utils/async/together.ts';
import type { Backend } from '../../model/backend.ts';
import type { SandboxRecord } from '../../model/sandbox.ts';
import type { SandboxReference } from '../../model/sandbox-provider.ts';
import { networkNamespace, networkRequest } from './sandbox-spec.ts';

/** Releases the network of a pod that is being stopped, if it has one, while its processes end. */
export async function releaseNetwork(
  { network, sandboxes }: Backend,
  record: SandboxRecord,
  sandbox: SandboxReference,
): Promise<void> {
  if (record.network === undefined) return;
  const netns = networkNamespace(await sandboxes.adopt(sandbox));
  const ending = sandboxes.end?.(sandbox) ?? Promise.resolve();
  await together([ending, network.detach(networkRequest(record, netns), record.network)]);
}
