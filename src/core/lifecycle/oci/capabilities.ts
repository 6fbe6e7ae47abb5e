import { CAPABILITIES } from '../../model/capabilities.ts';
import { invalidArgument } from '../../model/errors.ts';
import type { OciCapabilities } from '../../model/oci-runtime.ts';
import type { ContainerSecurity } from '../../model/security.ts';

/** The default capabilities, as in Docker, containerd and CRI-O. */
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
 * The capability sets of a container's process: ALL is applied first, then single additions, then single drops, as in
 * containerd (CRI Capability).
 * @param available names in this server's bounding set; requesting another one is an error, while ALL silently omits the
 *   others, which no process could have.
 * @throws CriError INVALID_ARGUMENT for an unavailable name.
 */
export function capabilitySets(
  { privileged, capabilities }: Pick<ContainerSecurity, 'privileged' | 'capabilities'>,
  available: ReadonlySet<string>,
): OciCapabilities {
  const has = (name: string) => available.has(name);
  if (privileged) return sets(CAPABILITIES.filter(has), []);
  const { add, addAll, drop, dropAll, ambient } = capabilities;
  for (const [key, names] of Object.entries({ add_capabilities: add, add_ambient_capabilities: ambient })) {
    const missing = names.find((name) => !has(name));
    if (missing === undefined) continue;
    const problem = `CAP_${missing} is not in the bounding set of this server`;
    throw invalidArgument(`${FIELD}.${key}`, problem);
  }
  const chosen = new Set(dropAll ? [] : addAll ? CAPABILITIES : DEFAULT);
  for (const name of [...add, ...ambient]) chosen.add(name);
  for (const name of drop) chosen.delete(name);
  const names = CAPABILITIES.filter((name) => chosen.has(name) && has(name));
  return sets(
    names,
    names.filter((name) => ambient.includes(name)),
  );
}

function sets(names: string[], ambient: string[]): OciCapabilities {
  const full = names.map((name) => `CAP_${name}`);
  const kept = ambient.map((name) => `CAP_${name}`);
  return { bounding: full, effective: full, permitted: full, inheritable: kept, ambient: kept };
}
