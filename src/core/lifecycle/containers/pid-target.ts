import type { ContainerRunner } from '../../model/container-runner.ts';
import type { ContainerPid } from '../../model/container-spec.ts';
import { failedPrecondition, invalidArgument } from '../../model/errors.ts';
import { lookupById } from '../ids.ts';
import type { ContainerStore } from './container-store.ts';

const FIELD = 'config.linux.security_context.namespace_options.target_id';

/**
 * The PID namespace of the container that the request names (CRI NamespaceMode TARGET, for ephemeral containers), or
 * undefined when it requests none.
 * @throws CriError INVALID_ARGUMENT for no container of the same pod, FAILED_PRECONDITION when it does not run.
 */
export async function targetPidNamespace(
  store: ContainerStore,
  runner: ContainerRunner,
  sandboxId: string,
  pid: ContainerPid,
): Promise<string | undefined> {
  if (typeof pid === 'string') return undefined;
  const target = lookupById('container', store.visible(), pid.target);
  if (target === undefined) throw invalidArgument(FIELD, `container ${JSON.stringify(pid.target)} not found`);
  if (target.sandboxId !== sandboxId) throw invalidArgument(FIELD, `container ${target.id} belongs to another pod`);
  const path = await runner.pidNamespace(target.id);
  if (path === undefined) {
    throw failedPrecondition(`${FIELD}: container ${target.id} is not running`);
  }
  return path;
}
