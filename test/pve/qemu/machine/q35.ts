function device(name: string, settings: Readonly<Record<string, string | number>>): string {
  const lines = Object.entries(settings).map(([key, value]) => `  ${key} = "${value}"`);
  return [`[device "${name}"]`, ...lines, ''].join('\n');
}

/** A controller of USB 2 with its three companions of USB 1, at one slot of the first bus. */
function usb(name: string, number: number, slot: string, firstCompanion: number): string[] {
  const common = (function_: number): Record<string, string> => ({
    multifunction: 'on',
    bus: 'pcie.0',
    addr: `${slot}.${function_}`,
  });
  const companions = [0, 1, 2].map((index) =>
    device(`uhci-${firstCompanion + index}`, {
      driver: `ich9-usb-uhci${firstCompanion + index}`,
      ...common(index),
      masterbus: `${name}.0`,
      firstport: 2 * index,
    }),
  );
  return [device(name, { driver: `ich9-usb-ehci${number}`, ...common(7) }), ...companions];
}

/**
 * The file with the devices that every machine of the type `q35` has on a Proxmox node: USB, sound, four ports of PCI
 * Express, and four PCI buses for the other devices, behind a bridge.
 */
export function q35Devices(): string {
  const four = [1, 2, 3, 4];
  return [
    ...usb('ehci', 1, '1d', 1),
    ...usb('ehci-2', 2, '1a', 4),
    device('audio0', { driver: 'ich9-intel-hda', bus: 'pcie.0', addr: '1b.0' }),
    ...four.map((port) =>
      device(`ich9-pcie-port-${port}`, {
        driver: 'pcie-root-port',
        'x-speed': 16,
        'x-width': 32,
        multifunction: 'on',
        bus: 'pcie.0',
        addr: `1c.${port - 1}`,
        port,
        chassis: port,
      }),
    ),
    device('pcidmi', { driver: 'i82801b11-bridge', bus: 'pcie.0', addr: '1e.0' }),
    ...four.map((slot) =>
      device(`pci.${slot - 1}`, { driver: 'pci-bridge', bus: 'pcidmi', addr: `${slot}.0`, chassis_nr: slot }),
    ),
  ].join('\n');
}
