import { lstatSync, mkdirSync, readdirSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fault } from '../../http/api-error.ts';
import { tool } from '../../lxc/machine/tool.ts';

const LINKS = '/dev/zvol';
/** Prints which volume a device is, for the rules of udev. */
const ASK = '/usr/lib/udev/zvol_id';
/** How long a device may take to appear, and how often it is looked for, in milliseconds. */
const LONGEST = 10_000;
const LOOK = 50;

/** The block device of a volume; undefined while there is none. */
async function deviceOf(dataset: string): Promise<string | undefined> {
  for (const name of readdirSync('/sys/block').filter((found) => /^zd\d+$/.test(found))) {
    const printed = await tool(ASK, [`/dev/${name}`]).catch(() => undefined);
    if (printed?.stdout.trim() === dataset) return `/dev/${name}`;
  }
  return undefined;
}

/**
 * Has the device of a volume at its place, which udev does on a real node; a machine without udev gets the link from here.
 * @throws ApiError when there is no device in time.
 */
export async function linkVolume(dataset: string): Promise<void> {
  const link = join(LINKS, dataset);
  const found = (): boolean => statSync(link, { throwIfNoEntry: false })?.isBlockDevice() === true;
  for (const end = performance.now() + LONGEST; ; await sleep(LOOK)) {
    if (found()) return;
    const device = await deviceOf(dataset);
    if (device !== undefined && !found()) {
      rmSync(link, { force: true });
      mkdirSync(dirname(link), { recursive: true });
      symlinkSync(device, link);
    }
    if (performance.now() > end)
      throw fault(
        `timeout: no zvol device link for '${dataset.replace(/^.*\//, '')}' found after ${LONGEST / 1000} sec.`,
      );
  }
}

/** Removes the link of a volume that is no more. */
export function unlinkVolume(dataset: string): void {
  const link = join(LINKS, dataset);
  if (lstatSync(link, { throwIfNoEntry: false })?.isSymbolicLink() === true) rmSync(link);
}
