import type { Capability } from '../../../api/gen/cri.ts';
import { CAPABILITIES } from '../../core/model/capabilities.ts';
import { invalidArgument } from '../../core/model/errors.ts';
import type { CapabilityChange } from '../../core/model/security.ts';

const FIELD = 'config.linux.security_context.capabilities';

/**
 * The capabilities that are added and dropped (CRI Capability; names with or without the CAP_ prefix).
 * @throws CriError INVALID_ARGUMENT for an unknown name.
 */
export function capabilityChange(request: Capability | undefined): CapabilityChange {
  const add = parse(`${FIELD}.add_capabilities`, request?.addCapabilities ?? []);
  const drop = parse(`${FIELD}.drop_capabilities`, request?.dropCapabilities ?? []);
  const ambient = parse(`${FIELD}.add_ambient_capabilities`, request?.addAmbientCapabilities ?? []);
  return { add: add.names, addAll: add.all, drop: drop.names, dropAll: drop.all, ambient: ambient.names };
}

function parse(field: string, given: readonly string[]): { all: boolean; names: string[] } {
  const names = new Set<string>();
  for (const text of given) {
    const name = text.toUpperCase().replace(/^CAP_/, '');
    if (name !== 'ALL' && !CAPABILITIES.includes(name))
      throw invalidArgument(field, `${JSON.stringify(text)} is not a capability (capabilities(7))`);
    names.add(name);
  }
  const all = names.delete('ALL');
  return { all, names: [...names] };
}
