import type { Rollback } from '../../../utils/async/rollback.ts';
import { failedPrecondition } from '../../model/errors.ts';
import type { Platform } from '../../model/platform.ts';
import type { PodSpec } from '../../model/pod-spec.ts';
import type { SandboxRecord } from '../../model/sandbox.ts';
import type { Placement, SandboxHandle, SandboxProvider, SandboxReference } from '../../model/sandbox-provider.ts';

/** Refused before the pod is created, since its containers could not be. @throws CriError FAILED_PRECONDITION. */
export async function checkUserNamespace({ namespaces }: PodSpec, { userNamespaces }: Platform): Promise<void> {
  if (namespaces.user === undefined) return;
  const problem = await userNamespaces.problem();
  if (problem !== undefined) throw failedPrecondition(`user namespaces are not supported here: ${problem}`);
}

/**
 * Creates and starts a new sandbox; its rollback is registered first.
 * @param keep writes the record, with the provider's handle in it.
 * @returns the record as it was kept last, and where the pod's containers go.
 * @throws CriError as the provider does.
 */
export async function startSandbox(
  provider: SandboxProvider,
  record: SandboxRecord,
  {
    reference,
    keep,
    signal,
  }: {
    reference: (record: SandboxRecord) => SandboxReference;
    keep: (record: SandboxRecord) => Promise<void>;
    signal: AbortSignal | undefined;
  },
  rollback: Rollback,
): Promise<{ record: SandboxRecord; placement: Placement }> {
  let made = record;
  rollback.add('remove the sandbox', () => provider.remove(reference(made)));
  const progress = async (handle: SandboxHandle) => {
    made = { ...record, handle };
    await keep(made);
  };
  await provider.create(reference(record).spec, progress, signal);
  return { record: made, placement: await provider.start(reference(made), signal) };
}
