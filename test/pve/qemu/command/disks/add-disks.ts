import type { Draft } from '../draft.ts';
import { blockdev, canonicalJson, throttleGroup } from './blockdev.ts';
import { addController, driveDevice, usesBlockdev } from './drive-device.ts';
import { drivesOf, sourceOf } from './drives.ts';
import { legacyDrive } from './legacy-drive.ts';

/**
 * Adds the drives of the configuration with their controllers.
 * @param warn gets what the node says of settings without an effect
 * @throws Error when a volume does not exist.
 */
export function addDisks(draft: Draft, order: ReadonlyMap<string, number>, warn: (line: string) => void): void {
  const controllers = new Set<string>();
  for (const drive of drivesOf(draft.values)) {
    addController(draft, drive, controllers, warn);
    const source = sourceOf(draft, drive);
    if (!usesBlockdev(draft)) draft.device('-drive', legacyDrive(drive, source, draft.host.release));
    else if (source !== undefined) {
      draft.option('-object', canonicalJson(throttleGroup(drive)));
      draft.device('-blockdev', canonicalJson(blockdev(drive, source)));
    }
    draft.device('-device', driveDevice(draft, drive, order.get(drive.key)));
  }
}
