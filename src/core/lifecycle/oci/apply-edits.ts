import type { ContainerEdits, DeviceNodeEdit } from '../../model/container-devices.ts';
import { failedPrecondition, unimplemented } from '../../model/errors.ts';
import { placeMount } from '../../model/mount-order.ts';
import { messageOf } from '../../../utils/errors.ts';
import type { OciDevice, OciMount, OciSpec } from '../../model/oci-runtime.ts';
import type { FileFacts, PlatformFiles } from '../../model/platform-files.ts';
import { toDevice } from './devices.ts';

type Files = Pick<PlatformFiles, 'inspect'>;

/**
 * Applies the edits of devices to a container's configuration, in order; a later edit replaces an earlier one with the same
 * variable, path or mount point (CDI specification, "OCI edits").
 * @param resolve follows links in the container's root filesystem.
 * @throws CriError FAILED_PRECONDITION for objects missing on the node, UNIMPLEMENTED for unsupported edits, naming the device.
 */
export async function applyEdits(
  files: Files,
  spec: OciSpec,
  edits: readonly ContainerEdits[],
  resolve: (path: string) => Promise<string>,
): Promise<OciSpec> {
  const edited = structuredClone(spec);
  for (const edit of edits) {
    const [unsupported] = edit.unsupported;
    if (unsupported !== undefined) throw unimplemented(`CDI device ${edit.of}: ${unsupported}`);
    setVariables(edited, edit.env);
    for (const node of edit.deviceNodes) await addDevice(files, edited, node, edit.of);
    for (const mount of edit.mounts) await addMount(files, edited, mount, edit.of, resolve);
    for (const { hookName, args, ...hook } of edit.hooks) {
      edited.hooks ??= {};
      (edited.hooks[hookName] ??= []).push({ ...hook, ...(args !== undefined && { args }) });
    }
    const groups = [...(edited.process.user.additionalGids ?? []), ...edit.additionalGids.filter((gid) => gid !== 0)];
    edited.process.user.additionalGids = [...new Set(groups)];
  }
  return edited;
}

function setVariables({ process }: OciSpec, env: readonly string[]): void {
  const nameOf = (variable: string) => variable.slice(0, variable.indexOf('='));
  const names = new Set(env.map(nameOf));
  const latest = new Map(env.map((variable) => [nameOf(variable), variable]));
  process.env = [...process.env.filter((variable) => !names.has(nameOf(variable))), ...latest.values()];
}

async function addDevice(files: Files, spec: OciSpec, node: DeviceNodeEdit, of: string): Promise<void> {
  const { uid: user } = spec.process.user;
  const device = await complete(files, node, of);
  const { linux } = spec;
  // A device without a specified owner belongs to the container's user, who could not use it otherwise.
  const owned = { ...device, ...(node.uid === undefined && user > 0 && { uid: user }) };
  linux.devices = [...(linux.devices ?? []).filter(({ path }) => path !== node.path), owned];
  if (device.type === 'p') return;
  const { type, major, minor } = device;
  linux.resources.devices ??= [];
  linux.resources.devices.push({ allow: true, type, major, minor, access: node.permissions ?? 'rwm' });
}

/** Fills in omitted values from the node's device. */
async function complete(files: Files, node: DeviceNodeEdit, of: string): Promise<OciDevice> {
  const { path, type, major, minor, fileMode, uid, gid } = node;
  const chosen = {
    ...(fileMode !== undefined && { fileMode }),
    ...(uid !== undefined && { uid }),
    ...(gid !== undefined && { gid }),
  };
  if (type === 'p') return { path, type, major: 0, minor: 0, ...chosen };
  if (type !== undefined && major !== undefined) return { path, type, major, minor: minor ?? 0, ...chosen };
  const hostPath = node.hostPath ?? path;
  const problem = (words: string) => failedPrecondition(`CDI device ${of}: ${hostPath} ${words}`);
  const facts = await inspect(files, hostPath, (words) => problem(`cannot be read: ${words}`));
  if (facts === undefined) throw problem('does not exist on the node');
  const found = toDevice(path, facts);
  if (found === undefined) throw problem('is not a device');
  if (type !== undefined && type !== found.type) throw problem(`is of type "${found.type}", not "${type}"`);
  return { ...found, ...chosen };
}

async function addMount(
  files: Files,
  spec: OciSpec,
  mount: ContainerEdits['mounts'][number],
  of: string,
  resolve: (path: string) => Promise<string>,
): Promise<void> {
  const { hostPath, type = 'bind', options } = mount;
  const isBind = type === 'bind' || type === 'none';
  if (isBind) {
    const problem = (words: string) => failedPrecondition(`CDI device ${of}: cannot mount ${hostPath}: ${words}`);
    if ((await inspect(files, hostPath, problem)) === undefined) throw problem('it does not exist on the node');
  }
  const binding = isBind && !options.some((option) => option === 'bind' || option === 'rbind');
  const destination = await resolve(mount.containerPath);
  if (destination === '/') throw failedPrecondition(`CDI device ${of}: cannot mount over the root directory`);
  const entry: OciMount = { destination, type, source: hostPath, options: binding ? ['rbind', ...options] : options };
  spec.mounts = placeMount(spec.mounts, entry);
}

async function inspect(files: Files, path: string, problem: (words: string) => Error): Promise<FileFacts | undefined> {
  try {
    return await files.inspect(path);
  } catch (error) {
    throw problem(messageOf(error));
  }
}
