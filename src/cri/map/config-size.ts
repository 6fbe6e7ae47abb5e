import { ContainerConfig, PodSandboxConfig } from '../../../api/gen/cri.ts';
import { CriError, StatusCode } from '../../core/model/errors.ts';

const MIB = 2 ** 20;

/**
 * Bytes of a pod's configuration. CNI plugins get parts of it, and ListPodSandbox repeats most of it for each pod, in one
 * message. Kubernetes allows 256 KiB of annotations.
 */
export const MAX_POD_BYTES = MIB;
/** Bytes of what ListContainers repeats of a container's configuration. */
export const MAX_CONTAINER_LABELS_BYTES = MIB;
/** Bytes of a container's configuration; the kernel allows a program 6 MiB of arguments and environment (execve(2)). */
export const MAX_CONTAINER_BYTES = 8 * MIB;

/** Bounds the size of a pod's configuration. @throws CriError INVALID_ARGUMENT */
export function checkPodSize(config: PodSandboxConfig): void {
  check('config: takes', PodSandboxConfig.encode(config).finish(), MAX_POD_BYTES);
}

/** Bounds the size of a container's configuration. @throws CriError INVALID_ARGUMENT */
export function checkContainerSize(config: ContainerConfig): void {
  const { metadata, image, labels, annotations } = config;
  const listed = ContainerConfig.encode(ContainerConfig.fromPartial({ metadata, image, labels, annotations })).finish();
  check('config.labels, annotations, metadata and image: take', listed, MAX_CONTAINER_LABELS_BYTES);
  check('config: takes', ContainerConfig.encode(config).finish(), MAX_CONTAINER_BYTES);
}

function check(what: string, { length }: Uint8Array, most: number): void {
  if (length <= most) return;
  const message = `${what} ${length} bytes, the maximum is ${most}; shorten its annotations, labels or other lists`;
  throw new CriError(StatusCode.INVALID_ARGUMENT, message);
}
