import { ContainerConfig, PodSandboxConfig } from '../../../api/gen/cri.ts';
import type { ImageSpec, Mount, NamespaceOption } from '../../../api/gen/cri.ts';

/**
 * A request's configuration as a JSON value, for records and for people: 64-bit numbers are decimal strings, bytes text.
 * Equal requests give equal values.
 */
export function toOpaque(message: ContainerConfig | PodSandboxConfig | undefined): unknown {
  return JSON.parse(JSON.stringify(message, plain)) as unknown;
}

function plain(this: unknown, key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return value.toString();
  // Buffer.toJSON has run already when `value` arrives, so the holder is asked for the original.
  const original = (this as Record<string, unknown>)[key];
  return original instanceof Uint8Array ? Buffer.from(original).toString('utf8') : value;
}

/** What of a container's request its status repeats word for word: no field of these is a 64-bit number or bytes. */
export function askedOfContainer(request: unknown): { image: ImageSpec | undefined; mounts: Mount[] } {
  const { image, mounts = [] } = request as Partial<Pick<ContainerConfig, 'image' | 'mounts'>>;
  return ContainerConfig.fromPartial({ image, mounts });
}

/** The namespaces that a pod's request names; undefined where it names none. */
export function askedNamespaces(request: unknown): NamespaceOption | undefined {
  const namespaceOptions = (request as Partial<PodSandboxConfig>).linux?.securityContext?.namespaceOptions;
  const config = PodSandboxConfig.fromPartial({ linux: { securityContext: { namespaceOptions } } });
  return config.linux?.securityContext?.namespaceOptions;
}
