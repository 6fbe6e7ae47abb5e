import { posix } from 'node:path';
import type { DeviceSpec } from '../../model/container-spec.ts';
import { invalidArgument } from '../../model/errors.ts';
import type { OciDevice, OciResources } from '../../model/oci-runtime.ts';
import type { FileFacts, PlatformFiles } from '../../model/platform-files.ts';

/** Devices to create in the container and their device cgroup rules. */
export interface ContainerDevices {
  devices: OciDevice[];
  rules: NonNullable<OciResources['devices']>;
}

type DeviceFiles = Pick<PlatformFiles, 'inspect' | 'devicesBelow'>;

const DENY_ALL = { allow: false, access: 'rwm' };
/** Devices that every container can use: null, zero, full, random, urandom, tty, ptmx and pseudo terminals. */
const BASIC: readonly [number, number | undefined][] = [
  [1, 3],
  [1, 5],
  [1, 7],
  [1, 8],
  [1, 9],
  [5, 0],
  [5, 2],
  [136, undefined],
];

/**
 * The requested devices, and for a privileged container every device of the node. A directory stands for the devices in
 * it. @throws CriError INVALID_ARGUMENT for a path that is not a device.
 */
export async function containerDevices(
  files: DeviceFiles,
  requested: readonly DeviceSpec[],
  privileged: boolean,
): Promise<ContainerDevices> {
  const devices: OciDevice[] = [];
  const rules: ContainerDevices['rules'] = [
    DENY_ALL,
    ...BASIC.map(([major, minor]) => ({
      allow: true,
      type: 'c',
      major,
      access: 'rwm',
      ...(minor !== undefined && { minor }),
    })),
  ];
  for (const [index, request] of requested.entries()) {
    const field = `config.devices[${String(index)}].host_path`;
    const found = await devicesAt(files, request.hostPath, request.containerPath, field);
    devices.push(...found);
    rules.push(
      ...found.map(({ type, major, minor }) => ({ allow: true, type, major, minor, access: request.permissions })),
    );
  }
  if (!privileged) return { devices, rules };
  const own = new Set(devices.map(({ path }) => path));
  const others = (await devicesBelow(files, '/dev', '/dev', RUNTIME_OWN)).filter(({ path }) => !own.has(path));
  return { devices: [...others, ...devices], rules: [{ allow: true, access: 'rwm' }] };
}

async function devicesAt(
  files: DeviceFiles,
  hostPath: string,
  containerPath: string,
  field: string,
): Promise<OciDevice[]> {
  const facts = await files.inspect(hostPath);
  if (facts === undefined) throw invalidArgument(field, `${JSON.stringify(hostPath)} does not exist on the node`);
  if (facts.kind === 'directory') return devicesBelow(files, hostPath, containerPath, []);
  const device = toDevice(containerPath, facts);
  if (device === undefined) throw invalidArgument(field, `${JSON.stringify(hostPath)} is not a device`);
  return [device];
}

/** Entries of /dev that the runtime creates. */
const RUNTIME_OWN = ['pts', 'shm', 'mqueue', 'fd', 'console', 'ptmx'];

/** Device nodes below a directory, without its entries in `except`. */
async function devicesBelow(
  files: DeviceFiles,
  directory: string,
  target: string,
  except: readonly string[],
): Promise<OciDevice[]> {
  const found = await files.devicesBelow(directory, except);
  return found.flatMap(({ path, facts }) => toDevice(posix.join(target, path), facts) ?? []);
}

/** A node's device at another path; undefined when it is not a device. */
export function toDevice(path: string, { kind, major, minor, mode, uid, gid }: FileFacts): OciDevice | undefined {
  if (kind !== 'block' && kind !== 'char') return undefined;
  return { path, type: kind === 'block' ? 'b' : 'c', major, minor, fileMode: mode & 0o777, uid, gid };
}
