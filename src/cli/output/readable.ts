import {
  ContainerState,
  MountPropagation,
  NamespaceMode,
  PodSandboxState,
  Protocol,
  SecurityProfile_ProfileType,
  Signal,
} from '../../../api/gen/cri.ts';
import { formatTime } from './units.ts';

/** Fields with nanoseconds since 1970. */
const TIMES = new Set(['createdAt', 'startedAt', 'finishedAt', 'timestamp']);
/** Fields that are not part of CRI, and stay unchanged. */
const FOREIGN = new Set(['runtimeSpec', 'imageSpec', 'labels', 'annotations']);

const MODES = new Set(['network', 'pid', 'ipc', 'mode']);

const ENUMS: Record<string, Record<string, number>> = {
  profileType: SecurityProfile_ProfileType,
  propagation: MountPropagation,
  protocol: Protocol,
  stopSignal: Signal,
};

/**
 * A CRI message with enum names instead of numbers (as in proto3 JSON), and RFC 3339 times instead of nanoseconds. `kind`
 * selects the enum of its `state`.
 */
export function readable(message: unknown, kind: 'container' | 'pod' | 'image'): unknown {
  const convert = (key: string, value: unknown, above: string): unknown => {
    if (FOREIGN.has(key)) return value;
    if (Array.isArray(value)) return value.map((item) => convert('', item, key));
    if (typeof value === 'object' && value !== null && !Buffer.isBuffer(value)) {
      return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, convert(name, item, key)]));
    }
    if (TIMES.has(key) && (typeof value === 'bigint' || /^\d+$/.test(String(value))))
      return formatTime(BigInt(String(value)));
    if (typeof value !== 'number') return value;
    return nameOf(enumOf(key, above, kind), value);
  };
  return convert('', message, '');
}

function enumOf(key: string, above: string, kind: string): Record<string, number> | undefined {
  if (key === 'state') return kind === 'pod' ? PodSandboxState : ContainerState;
  if (MODES.has(key) && /^(options|namespaceOptions|usernsOptions)$/.test(above)) return NamespaceMode;
  return ENUMS[key];
}

function nameOf(names: Record<string, number> | undefined, value: number): unknown {
  return Object.entries(names ?? {}).find(([, number]) => number === value)?.[0] ?? value;
}
