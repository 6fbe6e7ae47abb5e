import { ContainerConfig, PodSandboxConfig } from '../../../api/gen/cri.ts';
import type { ImageSpec, Mount, NamespaceOption } from '../../../api/gen/cri.ts';

/**
 * A request's configuration as a JSON value, for records and for people: 64-bit numbers as decimal strings, bytes as strings.
 * Equal requests have equal values.
 */
export function toOpaque(message: ContainerConfig | PodSandboxConfig | undefined): unknown {
  return JSON.parse(JSON.stringify(message, plain)) as unknown;
}

function plain(this: unknown, key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return value.toString();
  // Buffer.toJSON has run before; the parent object still has the original.
  const original = (this as Record<string, unknown>)[key];
  return original instanceof Uint8Array ? Buffer.from(original).toString('utf8') : value;
}

/** The parts of a container's request that its status returns unchanged: they have no 64-bit numbers or bytes. */
export function askedOfContainer(request: unknown): { image: ImageSpec | undefined; mounts: Mount[] } {
  const { image, mounts = [] } = request as Partial<Pick<ContainerConfig, 'image' | 'mounts'>>;
  return ContainerConfig.fromPartial({ image, mounts });
}

/** The namespaces of a pod's request; undefined when absent. */
export function askedNamespaces(request: unknown): NamespaceOption | undefined {
  const namespaceOptions = (request as Partial<PodSandboxConfig>).linux?.securityContext?.namespaceOptions;
  const config = PodSandboxConfig.fromPartial({ linux: { securityContext: { namespaceOptions } } });
  return config.linux?.securityContext?.namespaceOptions;
}
