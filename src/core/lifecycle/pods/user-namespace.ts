import { NamespaceMode } from '../../../../api/gen/cri.ts';
import type { IDMapping, NamespaceOption, UserNamespace } from '../../../../api/gen/cri.ts';
import { invalidArgument } from '../../model/errors.ts';
import type { IdRange } from '../../model/id-range.ts';

const FIELD = 'config.linux.security_context.namespace_options';

/** Ids end below 2^32 - 1, which stands for "none" (user_namespaces(7)). */
const ID_LIMIT = 4_294_967_295;

/**
 * The user namespace that a pod asks for (CRI NamespaceOption.userns_options); undefined for the node's.
 * @throws CriError INVALID_ARGUMENT unless the mode is NODE without mappings or POD with one that begins at 0 and is the
 *   same for users and groups, or when the node's PID or IPC namespace is asked for beside it: nobody in a user namespace
 *   has a right to those.
 */
export function podUserNamespace(options: NamespaceOption | undefined): IdRange | undefined {
  const userns = options?.usernsOptions;
  if (options === undefined || userns === undefined) return undefined;
  const field = `${FIELD}.userns_options`;
  if (userns.mode === NamespaceMode.NODE) {
    if (userns.uids.length + userns.gids.length === 0) return undefined;
    throw invalidArgument(`${field}.uids`, "must be empty with mode NODE, which is the node's own user namespace");
  }
  if (userns.mode !== NamespaceMode.POD) throw invalidArgument(`${field}.mode`, 'must be POD or NODE');
  const uids = onlyMapping(userns.uids, `${field}.uids`);
  const gids = onlyMapping(userns.gids, `${field}.gids`);
  if (uids.hostId !== gids.hostId || uids.size !== gids.size) {
    throw invalidArgument(`${field}.gids`, 'must be the same mapping as uids');
  }
  for (const key of ['pid', 'ipc'] as const) {
    if (options[key] === NamespaceMode.NODE) {
      throw invalidArgument(`${FIELD}.${key}`, 'cannot be NODE in a pod with a user namespace of its own');
    }
  }
  return uids;
}

function onlyMapping(mappings: readonly IDMapping[], field: string): IdRange {
  const [mapping] = mappings;
  if (mapping === undefined || mappings.length > 1) {
    throw invalidArgument(field, `must hold one mapping, not ${String(mappings.length)}`);
  }
  if (mapping.containerId !== 0) throw invalidArgument(`${field}[0].container_id`, 'must be 0: root must be mapped');
  if (mapping.length === 0) throw invalidArgument(`${field}[0].length`, 'must not be 0');
  if (mapping.hostId + mapping.length > ID_LIMIT) {
    throw invalidArgument(`${field}[0].length`, `leads beyond the last id, ${String(ID_LIMIT - 1)}`);
  }
  return { hostId: mapping.hostId, size: mapping.length };
}

/**
 * Checks what a container says of its user namespace: nothing, or what its pod says.
 * @throws CriError INVALID_ARGUMENT when it differs.
 */
export function checkContainerUserNamespace(container: UserNamespace | undefined, pod: IdRange | undefined): void {
  if (container === undefined) return;
  const own = podUserNamespace({ network: 0, pid: 0, ipc: 0, targetId: '', usernsOptions: container });
  if (own?.hostId !== pod?.hostId || own?.size !== pod?.size) {
    throw invalidArgument(`${FIELD}.userns_options`, "must be the pod's own, or absent");
  }
}
