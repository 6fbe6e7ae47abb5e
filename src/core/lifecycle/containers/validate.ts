import { posix } from 'node:path';
import type { ContainerConfig, PodSandboxConfig } from '../../../../api/gen/cri.ts';
import { invalidArgument, unimplemented } from '../../model/errors.ts';
import { checkLine } from '../checks.ts';
import { checkImageVolumes } from './image-volumes.ts';

/**
 * Refuses a container configuration that is malformed, before anything is made. What needs the image or the pod is
 * checked where the OCI configuration is built.
 * @throws CriError INVALID_ARGUMENT or UNIMPLEMENTED, naming the field of CreateContainerRequest.
 */
export function validateContainerConfig(config: ContainerConfig): void {
  if (config.metadata === undefined || config.metadata.name === '') {
    throw invalidArgument('config.metadata.name', 'must not be empty');
  }
  checkLine('config.metadata.name', config.metadata.name);
  if (config.image === undefined || config.image.image === '')
    throw invalidArgument('config.image.image', 'must not be empty');
  if (config.windows !== undefined) throw unimplemented('config.windows: a Windows container');
  checkLine('config.log_path', config.logPath);
  checkImageVolumes(config);
}

/**
 * The absolute path of the container's log: `log_path` below the pod's `log_directory`; empty when either is not given,
 * as CRI leaves both optional.
 * @throws CriError INVALID_ARGUMENT for a path that leaves the log directory.
 */
export function containerLogPath(pod: PodSandboxConfig, config: ContainerConfig): string {
  if (config.logPath === '' || pod.logDirectory === '') return '';
  const path = posix.join(pod.logDirectory, config.logPath);
  const folder = posix.normalize(pod.logDirectory).replace(/\/+$/, '');
  if (!path.startsWith(`${folder}/`)) {
    throw invalidArgument('config.log_path', `${JSON.stringify(config.logPath)} leaves the pod's log directory`);
  }
  return path;
}
