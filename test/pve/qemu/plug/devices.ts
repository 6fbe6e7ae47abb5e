import { setTimeout as sleep } from 'node:timers/promises';
import type { Monitor } from '../../guests/runtime.ts';

/** How often, and how long, a device is looked for that the guest has to give back, in milliseconds. */
const LOOK_MS = 50;
const UNPLUG_MS = 5000;

interface Block {
  readonly qdev?: string;
}

/** Whether the machine has the device. */
export async function hasDevice(monitor: Monitor, id: string): Promise<boolean> {
  const buses = JSON.stringify(await monitor.execute('query-pci'));
  if (buses.includes(`"qdev_id":"${id}"`) || buses.includes(`"qdev_id": "${id}"`)) return true;
  const blocks = (await monitor.execute('query-block')) as Block[];
  return blocks.some(({ qdev = '' }) => qdev === id || qdev.split('/').includes(id));
}

/** Adds a device. @param option the value of `-device`. @throws Error with the node's text when the machine does not take it. */
export async function addDevice(monitor: Monitor, id: string, option: string): Promise<void> {
  const said = await monitor.human(`device_add driver=${option}`);
  if (!(await hasDevice(monitor, id)))
    throw new Error(`error on hotplug device '${id}'`, { cause: new Error(said.trim()) });
}

/** Takes a device away. @throws Error with the node's text when the guest does not give it back. */
export async function removeDevice(monitor: Monitor, id: string): Promise<void> {
  await monitor.human(`device_del ${id}`);
  const end = performance.now() + UNPLUG_MS;
  while (await hasDevice(monitor, id)) {
    if (performance.now() > end) throw new Error(`error on hot-unplugging device '${id}' - still busy in guest?`);
    await sleep(LOOK_MS);
  }
}
