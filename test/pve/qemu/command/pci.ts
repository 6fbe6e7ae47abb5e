const numbered = (name: string, first: number, last: number): string[] =>
  Array.from({ length: last - first + 1 }, (_, index) => `${name}${first + index}`);

/** By bus: the slot of the first device, and the devices that follow each other from it on. */
const SLOTS: Readonly<Record<number, readonly (readonly [slot: number, devices: readonly string[]])[]>> = {
  0: [
    [1, ['piix3', 'vga', 'balloon0', 'watchdog', 'scsihw0', 'scsihw1', 'ahci0', 'qga0', 'spice']],
    [5, ['pci.3']],
    [10, numbered('virtio', 0, 5)],
    [18, numbered('net', 0, 5)],
    [30, ['pci.1', 'pci.2']],
  ],
  1: [
    [1, numbered('net', 6, 31)],
    [28, ['pci.4', 'rng0']],
  ],
  2: [[1, numbered('virtio', 6, 15)]],
  3: [[1, numbered('virtioscsi', 0, 30)]],
  4: [[1, numbered('scsihw', 2, 4)]],
};

const PLACES = new Map(
  Object.entries(SLOTS).flatMap(([bus, groups]) =>
    groups.flatMap(([first, devices]) =>
      devices.map((device, index): [string, { bus: number; slot: number }] => [
        device,
        { bus: Number(bus), slot: first + index },
      ]),
    ),
  ),
);

/** The PCI devices of one machine: each has its slot on every node, so that a guest finds it again. */
export class PciSlots {
  /** The numbers of the buses that have a device. */
  readonly used = new Set<number>();

  /** The part of a device's option that says its place; empty for a device without one. */
  place(device: string): string {
    const found = PLACES.get(device);
    if (found === undefined) return '';
    this.used.add(found.bus);
    return pciPlace(device);
  }
}

/** As {@link PciSlots.place}, of a device that makes no bus needed. */
export function pciPlace(device: string): string {
  const found = PLACES.get(device);
  return found === undefined ? '' : `,bus=pci.${found.bus},addr=0x${found.slot.toString(16)}`;
}
