import type { Monitor } from '../../guests/runtime.ts';
import { blockdev, canonicalJson, throttleGroup } from '../command/disks/blockdev.ts';
import { addController, driveDevice, usesBlockdev } from '../command/disks/drive-device.ts';
import { sourceOf, type Drive } from '../command/disks/drives.ts';
import { legacyDrive } from '../command/disks/legacy-drive.ts';
import type { Draft } from '../command/draft.ts';
import { addDevice, hasDevice, removeDevice } from './devices.ts';

/** Options of a command line as the machine takes them. */
export type Adapt = (option: string, value: string) => string;

/** Gives the machine the nodes of its block layer that a drive shows. @returns whether it shows anything. */
async function addNodes(monitor: Monitor, draft: Draft, drive: Drive, adapt: Adapt): Promise<boolean> {
  const source = sourceOf(draft, drive);
  if (source === undefined) return false;
  if (!usesBlockdev(draft)) {
    const said = await monitor.human(
      `drive_add auto "${adapt('-drive', legacyDrive(drive, source, draft.host.release))}"`,
    );
    if (!said.startsWith('OK')) throw new Error(`adding drive failed: ${said.trim()}`);
    return true;
  }
  await monitor.execute('object-add', throttleGroup(drive) as Record<string, unknown>);
  try {
    const nodes = JSON.parse(adapt('-blockdev', canonicalJson(blockdev(drive, source)))) as Record<string, unknown>;
    await monitor.execute('blockdev-add', nodes);
  } catch (error) {
    await monitor.execute('object-del', { id: `throttle-drive-${drive.key}` });
    throw error;
  }
  return true;
}

async function removeNodes(monitor: Monitor, draft: Draft, { key }: Drive): Promise<void> {
  if (usesBlockdev(draft)) {
    await monitor.execute('blockdev-del', { 'node-name': `drive-${key}` });
    await monitor.execute('object-del', { id: `throttle-drive-${key}` });
    // A drive of the old kind goes with its device, most times.
  } else await monitor.human(`drive_del drive-${key}`);
}

/** Plugs a drive into a running machine, with its controller where there is none. @throws Error when the machine refuses. */
export async function plugDrive(monitor: Monitor, draft: Draft, drive: Drive, adapt: Adapt): Promise<void> {
  addController(draft, drive, new Set(), () => undefined);
  const [controller] = draft.takeDevices();
  for (const object of draft.takeOptions()) await monitor.human(`object_add ${object}`);
  const id = /[,=]id=([^,]+)/.exec(controller ?? '')?.[1];
  if (controller !== undefined && id !== undefined && !(await hasDevice(monitor, id)))
    await addDevice(monitor, id, controller);
  const shows = await addNodes(monitor, draft, drive, adapt);
  try {
    await addDevice(monitor, drive.key, driveDevice(draft, drive, undefined));
  } catch (error) {
    if (shows) await removeNodes(monitor, draft, drive).catch(() => undefined);
    throw error;
  }
}

/** Takes a drive out of a running machine. @throws Error when the guest does not give it back. */
export async function unplugDrive(monitor: Monitor, draft: Draft, drive: Drive): Promise<void> {
  await removeDevice(monitor, drive.key);
  if (drive.file !== undefined) await removeNodes(monitor, draft, drive);
}

/** Puts another medium into a drive, or none. */
export async function changeMedium(
  monitor: Monitor,
  draft: Draft,
  before: Drive,
  after: Drive,
  adapt: Adapt,
): Promise<void> {
  const id = after.key;
  if (!usesBlockdev(draft)) {
    await monitor.execute('eject', { id, force: true });
    const source = sourceOf(draft, after);
    if (source === undefined) return;
    await monitor.execute('blockdev-change-medium', { id, filename: source.path, format: source.format });
    return;
  }
  await monitor.execute('blockdev-open-tray', { id, force: true });
  await monitor.execute('blockdev-remove-medium', { id });
  if (before.file !== undefined) await removeNodes(monitor, draft, before);
  if (!(await addNodes(monitor, draft, after, adapt))) return;
  await monitor.execute('blockdev-insert-medium', { id, 'node-name': `drive-${id}` });
  await monitor.execute('blockdev-close-tray', { id });
}
