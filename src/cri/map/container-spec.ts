import type { ContainerConfig, Device, KeyValue } from '../../../api/gen/cri.ts';
import { checkAbsolutePath, checkLine, checkNoNul } from '../../core/lifecycle/checks.ts';
import type { ContainerSpec, DeviceSpec } from '../../core/model/container-spec.ts';
import { invalidArgument, unimplemented } from '../../core/model/errors.ts';
import { checkStorageAnnotations } from '../../core/model/storage-annotations.ts';
import { defined } from '../../utils/object.ts';
import { cdiDeviceNames } from './cdi-names.ts';
import { checkContainerSize } from './config-size.ts';
import { mountSpec } from './mounts.ts';
import { containerNamespaces } from './namespaces.ts';
import { containerLimits } from './resources.ts';
import { containerSecurity } from './security.ts';
import { stopSignal } from './signals.ts';

/**
 * Parses a CreateContainerRequest and validates every value that does not depend on the image and the pod.
 * @throws CriError INVALID_ARGUMENT or UNIMPLEMENTED, naming the field of the request.
 */
export function containerSpec(config: ContainerConfig | undefined): ContainerSpec {
  if (config === undefined) throw invalidArgument('config', 'is required');
  checkContainerSize(config);
  checkStorageAnnotations(config.annotations);
  const { metadata, image, linux } = config;
  if (metadata === undefined || metadata.name === '')
    throw invalidArgument('config.metadata.name', 'must not be empty');
  checkLine('config.metadata.name', metadata.name);
  if (image === undefined || image.image === '') throw invalidArgument('config.image.image', 'must not be empty');
  if (config.windows !== undefined) throw unimplemented('config.windows: a Windows container');
  checkLine('config.log_path', config.logPath);
  const context = linux?.securityContext;
  const { pid, userNamespace } = containerNamespaces(context?.namespaceOptions);
  return {
    metadata: { name: metadata.name, attempt: metadata.attempt },
    labels: config.labels,
    annotations: config.annotations,
    image: { name: image.image, asked: image.userSpecifiedImage },
    command: words('config.command', config.command),
    args: words('config.args', config.args),
    env: config.envs.map(variable),
    workingDir: workingDirectory(config.workingDir),
    mounts: config.mounts.map(mountSpec),
    devices: config.devices.map(device),
    cdiDevices: cdiDeviceNames(config),
    logPath: config.logPath,
    stdin: config.stdin,
    stdinOnce: config.stdinOnce,
    tty: config.tty,
    pid,
    security: containerSecurity(context),
    resources: containerLimits(linux?.resources, 'config.linux.resources'),
    ...defined({ userNamespace, stopSignal: stopSignal(config.stopSignal) }),
  };
}

function words(field: string, given: string[]): string[] {
  given.forEach((word, index) => {
    checkNoNul(`${field}[${String(index)}]`, word);
  });
  return given;
}

function workingDirectory(path: string): string {
  if (path !== '' && !path.startsWith('/'))
    throw invalidArgument('config.working_dir', `${JSON.stringify(path)} must be an absolute path`);
  checkNoNul('config.working_dir', path);
  return path;
}

function variable({ key, value }: KeyValue, index: number): { name: string; value: string } {
  const field = `config.envs[${String(index)}]`;
  if (key === '' || key.includes('='))
    throw invalidArgument(`${field}.key`, `${JSON.stringify(key)} must be a name without "="`);
  checkNoNul(`${field}.key`, key);
  return { name: key, value: text(`${field}.value`, value) };
}

/** CRI's values are bytes, `config.json` is JSON: values that are not UTF-8 are refused. */
function text(field: string, value: Uint8Array): string {
  let decoded: string;
  try {
    decoded = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(value);
  } catch (cause) {
    throw invalidArgument(field, `is not UTF-8 (${String(cause)}); encode binary values, for example as base64`);
  }
  checkNoNul(field, decoded);
  return decoded;
}

function device({ hostPath, containerPath, permissions }: Device, index: number): DeviceSpec {
  const field = `config.devices[${String(index)}]`;
  checkAbsolutePath(`${field}.host_path`, hostPath);
  checkAbsolutePath(`${field}.container_path`, containerPath);
  if (!/^[rwm]{1,3}$/.test(permissions)) throw invalidArgument(`${field}.permissions`, 'must consist of r, w and m');
  return { hostPath, containerPath, permissions };
}
