import type { Capability } from '../../../../api/gen/cri.ts';
import { invalidArgument } from '../../model/errors.ts';
import { CAPABILITIES } from '../../model/capabilities.ts';
import type { OciCapabilities } from '../../model/oci-runtime.ts';

/** What a container may do unless asked otherwise: the set Docker, containerd and CRI-O users know. */
const DEFAULT = [
  'AUDIT_WRITE',
  'CHOWN',
  'DAC_OVERRIDE',
  'FOWNER',
  'FSETID',
  'KILL',
  'MKNOD',
  'NET_BIND_SERVICE',
  'NET_RAW',
  'SETFCAP',
  'SETGID',
  'SETPCAP',
  'SETUID',
  'SYS_CHROOT',
];

const FIELD = 'config.linux.security_context.capabilities';

/**
 * The capability sets of a container's process: ALL is applied first, then single adds, then single drops, as users of
 * containerd expect (CRI Capability; names with or without the CAP_ prefix).
 * @param available names this server may give at all (its own bounding set); an asked-for one outside is an error, the
 *   rest of ALL is left out silently, as no process could hold it.
 * @throws CriError INVALID_ARGUMENT for an unknown or unavailable name.
 */
export function capabilitySets(
  request: Capability | undefined,
  options: { privileged: boolean; available: ReadonlySet<string> },
): OciCapabilities {
  const has = (name: string) => options.available.has(name);
  if (options.privileged) return sets(CAPABILITIES.filter(has), []);
  const add = parse(`${FIELD}.add_capabilities`, request?.addCapabilities ?? [], options.available);
  const drop = parse(`${FIELD}.drop_capabilities`, request?.dropCapabilities ?? [], undefined);
  const ambient = parse(`${FIELD}.add_ambient_capabilities`, request?.addAmbientCapabilities ?? [], options.available);
  const chosen = new Set(drop.all ? [] : add.all ? CAPABILITIES : DEFAULT);
  for (const name of [...add.names, ...ambient.names]) chosen.add(name);
  for (const name of drop.names) chosen.delete(name);
  const names = CAPABILITIES.filter((name) => chosen.has(name) && has(name));
  return sets(
    names,
    names.filter((name) => ambient.names.has(name)),
  );
}

function sets(names: string[], ambient: string[]): OciCapabilities {
  const full = names.map((name) => `CAP_${name}`);
  const kept = ambient.map((name) => `CAP_${name}`);
  return { bounding: full, effective: full, permitted: full, inheritable: kept, ambient: kept };
}

function parse(
  field: string,
  given: readonly string[],
  available: ReadonlySet<string> | undefined,
): { all: boolean; names: Set<string> } {
  const names = new Set<string>();
  let all = false;
  for (const text of given) {
    const name = text.toUpperCase().replace(/^CAP_/, '');
    if (name === 'ALL') {
      all = true;
      continue;
    }
    if (!CAPABILITIES.includes(name))
      throw invalidArgument(field, `${JSON.stringify(text)} is no capability (capabilities(7))`);
    if (available !== undefined && !available.has(name)) {
      throw invalidArgument(field, `CAP_${name} is not in this server's own bounding set, so it cannot be given`);
    }
    names.add(name);
  }
  return { all, names };
}
