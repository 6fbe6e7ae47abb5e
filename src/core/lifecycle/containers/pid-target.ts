import type { ContainerConfig } from '../../../../api/gen/cri.ts';
import { NamespaceMode } from '../../../../api/gen/cri.ts';
import type { ContainerRunner } from '../../model/container-runner.ts';
import { failedPrecondition, invalidArgument } from '../../model/errors.ts';
import { lookupById } from '../ids.ts';
import type { ContainerStore } from './container-store.ts';

const FIELD = 'config.linux.security_context.namespace_options.target_id';

/**
 * The PID namespace of the container that the request names (CRI NamespaceMode TARGET, for ephemeral containers), or
 * undefined when it asks for none.
 * @throws CriError INVALID_ARGUMENT for no container of the same pod, FAILED_PRECONDITION when it does not run.
 */
export async function targetPidNamespace(
  store: ContainerStore,
  runner: ContainerRunner,
  sandboxId: string,
  config: ContainerConfig,
): Promise<string | undefined> {
  const options = config.linux?.securityContext?.namespaceOptions;
  if (options?.pid !== NamespaceMode.TARGET) return undefined;
  if (options.targetId === '') throw invalidArgument(FIELD, 'is required with pid TARGET');
  const target = lookupById('container', store.visible(), options.targetId);
  if (target === undefined) throw invalidArgument(FIELD, `no container ${JSON.stringify(options.targetId)} is here`);
  if (target.sandboxId !== sandboxId) throw invalidArgument(FIELD, `container ${target.id} belongs to another pod`);
  const path = await runner.pidNamespace(target.id);
  if (path === undefined) {
    throw failedPrecondition(`${FIELD}: container ${target.id} does not run: its processes cannot be joined`);
  }
  return path;
}
