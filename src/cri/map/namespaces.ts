import { NamespaceMode } from '../../../api/gen/cri.ts';
import type { IDMapping, NamespaceOption, UserNamespace } from '../../../api/gen/cri.ts';
import type { ContainerPid } from '../../core/model/container-spec.ts';
import { invalidArgument } from '../../core/model/errors.ts';
import type { IdRange } from '../../core/model/id-range.ts';
import type { PodNamespaces } from '../../core/model/pod-spec.ts';

const FIELD = 'config.linux.security_context.namespace_options';

/** Ids are below 2^32 - 1, which means "none" (user_namespaces(7)). */
const ID_LIMIT = 4_294_967_295;

/**
 * The namespaces of a pod. CRI's POD is the zero value, so an absent message means POD for all but the user namespace, which
 * is then the node's.
 * @throws CriError INVALID_ARGUMENT for an invalid mode, and for the node's PID or IPC namespace together with a user
 *   namespace, which has no privileges in them.
 */
export function podNamespaces(options: NamespaceOption | undefined): PodNamespaces {
  if (options === undefined) return { network: 'pod', ipc: 'pod', pid: 'pod' };
  const scope = (key: 'network' | 'ipc') => {
    if (options[key] === NamespaceMode.POD) return 'pod';
    if (options[key] === NamespaceMode.NODE) return 'node';
    throw invalidArgument(`${FIELD}.${key}`, 'must be POD or NODE');
  };
  const pid = pidScope(options.pid);
  if (pid === undefined) throw invalidArgument(`${FIELD}.pid`, 'must be POD, CONTAINER or NODE');
  if (pid === 'target') throw invalidArgument(`${FIELD}.pid`, 'TARGET is for containers only');
  const namespaces: PodNamespaces = { network: scope('network'), ipc: scope('ipc'), pid };
  const user = userNamespace(options.usernsOptions);
  if (user === undefined || user === 'node') return namespaces;
  for (const key of ['pid', 'ipc'] as const) {
    if (namespaces[key] === 'node') {
      throw invalidArgument(`${FIELD}.${key}`, 'must not be NODE in a pod with its own user namespace');
    }
  }
  return { ...namespaces, user };
}

/**
 * The namespaces of a container's request: its PID namespace and, optionally, its user namespace. The others are those of its
 * pod. @throws CriError INVALID_ARGUMENT
 */
export function containerNamespaces(options: NamespaceOption | undefined): {
  pid: ContainerPid;
  userNamespace: IdRange | 'node' | undefined;
} {
  const pid = pidScope(options?.pid ?? NamespaceMode.POD);
  if (pid === undefined) throw invalidArgument(`${FIELD}.pid`, 'must be POD, CONTAINER, NODE or TARGET');
  const target = options?.targetId ?? '';
  if (pid === 'target' && target === '') throw invalidArgument(`${FIELD}.target_id`, 'is required with pid TARGET');
  return { pid: pid === 'target' ? { target } : pid, userNamespace: userNamespace(options?.usernsOptions) };
}

function pidScope(mode: NamespaceMode): 'pod' | 'container' | 'node' | 'target' | undefined {
  switch (mode) {
    case NamespaceMode.POD:
      return 'pod';
    case NamespaceMode.CONTAINER:
      return 'container';
    case NamespaceMode.NODE:
      return 'node';
    case NamespaceMode.TARGET:
      return 'target';
    default:
      return undefined;
  }
}

/**
 * The requested user namespace (CRI NamespaceOption.userns_options); undefined when absent.
 * @throws CriError INVALID_ARGUMENT unless the mode is NODE without mappings, or POD with one mapping that starts at 0 and is
 *   the same for users and groups.
 */
function userNamespace(userns: UserNamespace | undefined): IdRange | 'node' | undefined {
  if (userns === undefined) return undefined;
  const field = `${FIELD}.userns_options`;
  if (userns.mode === NamespaceMode.NODE) {
    if (userns.uids.length + userns.gids.length === 0) return 'node';
    throw invalidArgument(`${field}.uids`, 'must be empty with mode NODE');
  }
  if (userns.mode !== NamespaceMode.POD) throw invalidArgument(`${field}.mode`, 'must be POD or NODE');
  const uids = onlyMapping(userns.uids, `${field}.uids`);
  const gids = onlyMapping(userns.gids, `${field}.gids`);
  if (uids.hostId !== gids.hostId || uids.size !== gids.size) {
    throw invalidArgument(`${field}.gids`, 'must be the same mapping as uids');
  }
  return uids;
}

function onlyMapping(mappings: readonly IDMapping[], field: string): IdRange {
  const [mapping] = mappings;
  if (mapping === undefined || mappings.length > 1) {
    throw invalidArgument(field, `must have one mapping, not ${String(mappings.length)}`);
  }
  if (mapping.containerId !== 0) throw invalidArgument(`${field}[0].container_id`, 'must be 0: root must be mapped');
  if (mapping.length === 0) throw invalidArgument(`${field}[0].length`, 'must not be 0');
  if (mapping.hostId + mapping.length > ID_LIMIT) {
    throw invalidArgument(`${field}[0].length`, `exceeds the last id, ${String(ID_LIMIT - 1)}`);
  }
  return { hostId: mapping.hostId, size: mapping.length };
}
