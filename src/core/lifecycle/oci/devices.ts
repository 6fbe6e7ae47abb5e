import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { DeviceSpec } from '../../model/container-spec.ts';
import { invalidArgument } from '../../model/errors.ts';
import { isErrno } from '../../../utils/errors.ts';
import type { OciDevice, OciResources } from '../../model/oci-runtime.ts';

/** Devices to make in the container and the rules that let it use them. */
export interface ContainerDevices {
  devices: OciDevice[];
  rules: NonNullable<OciResources['devices']>;
}

const DENY_ALL = { allow: false, access: 'rwm' };
/** What a container may use without asking: null, zero, full, random, urandom, tty, ptmx and pseudo terminals. */
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
 * A privileged container has every device of the node beside those it asks for; another one these alone. A folder stands
 * for the devices in it. @throws CriError INVALID_ARGUMENT for a path that is no device.
 */
export async function containerDevices(
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
    const found = await devicesAt(request.hostPath, request.containerPath, field);
    devices.push(...found);
    rules.push(
      ...found.map(({ type, major, minor }) => ({ allow: true, type, major, minor, access: request.permissions })),
    );
  }
  if (!privileged) return { devices, rules };
  const own = new Set(devices.map(({ path }) => path));
  const others = (await devicesBelow('/dev', '/dev', true)).filter(({ path }) => !own.has(path));
  return { devices: [...others, ...devices], rules: [{ allow: true, access: 'rwm' }] };
}

async function devicesAt(hostPath: string, containerPath: string, field: string): Promise<OciDevice[]> {
  try {
    const facts = await stat(hostPath);
    if (facts.isDirectory()) return await devicesBelow(hostPath, containerPath, false);
    const device = toDevice(containerPath, facts);
    if (device !== undefined) return [device];
  } catch (error) {
    if (isErrno(error, 'ENOENT'))
      throw invalidArgument(field, `${JSON.stringify(hostPath)} does not exist on the node`);
    throw error;
  }
  throw invalidArgument(field, `${JSON.stringify(hostPath)} is no device`);
}

/** Device nodes below a folder; those the runtime makes itself (pts, shm, the console) are left out of /dev. */
async function devicesBelow(folder: string, target: string, skipRuntimeOwn: boolean): Promise<OciDevice[]> {
  const own = ['pts', 'shm', 'mqueue', 'fd', 'console', 'ptmx'];
  const devices: OciDevice[] = [];
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    if (skipRuntimeOwn && own.includes(entry.name)) continue;
    const path = join(folder, entry.name);
    if (entry.isDirectory()) devices.push(...(await devicesBelow(path, join(target, entry.name), false)));
    else if (entry.isCharacterDevice() || entry.isBlockDevice()) {
      const device = toDevice(join(target, entry.name), await stat(path));
      if (device !== undefined) devices.push(device);
    }
  }
  return devices;
}

/** A node's device under another path; undefined when it is none. */
export function toDevice(path: string, facts: Awaited<ReturnType<typeof stat>>): OciDevice | undefined {
  if (!facts.isCharacterDevice() && !facts.isBlockDevice()) return undefined;
  const rdev = BigInt(facts.rdev);
  return {
    path,
    type: facts.isBlockDevice() ? 'b' : 'c',
    // The layout of dev_t in glibc's makedev(3).
    major: Number(((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & 0xfffff000n)),
    minor: Number((rdev & 0xffn) | ((rdev >> 12n) & 0xffffff00n)),
    fileMode: Number(facts.mode) & 0o777,
    uid: Number(facts.uid),
    gid: Number(facts.gid),
  };
}
