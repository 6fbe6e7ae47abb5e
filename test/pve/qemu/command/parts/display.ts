import type { Draft } from '../draft.ts';
import { pciPlace } from '../pci.ts';
import { windowsVersion } from './windows.ts';

const MODELS: Readonly<Record<string, string>> = { cirrus: 'cirrus-vga', std: 'VGA', vmware: 'vmware-svga' };

/** What the guest shows its screen on: a graphics card, a serial port or nothing. */
function displayOf(draft: Draft): { type: string; settings: Readonly<Record<string, string>> } {
  const settings = draft.settings('vga', 'type');
  const windows = windowsVersion(draft.values);
  return { type: settings['type'] ?? (windows === 5 ? 'cirrus' : 'std'), settings };
}

/** Whether the screen is a serial port or there is none. */
export function isWithoutScreen(draft: Draft): boolean {
  return /^(?:serial\d|none)$/.test(displayOf(draft).type);
}

/** Adds the controller of USB devices, and the pointer that a screen at a distance needs. */
export function addPointer(draft: Draft): void {
  const { q35 } = draft.machine;
  if (!q35) draft.device('-device', `piix3-usb-uhci,id=uhci${draft.slots.place('piix3')}.0x2`);
  const { type } = displayOf(draft);
  const wanted = draft.values['tablet'] ?? (type.startsWith('serial') ? '0' : '1');
  if (wanted === '1') draft.device('-device', `usb-tablet,id=tablet,bus=${q35 ? 'ehci' : 'uhci'}.0,port=1`);
}

/**
 * Adds the screen.
 * @throws Error for a graphics card that is only used with SPICE.
 */
export function addDisplay(draft: Draft): void {
  const { type, settings } = displayOf(draft);
  if (isWithoutScreen(draft)) {
    if (type === 'none') draft.option('-vga', 'none');
    draft.option('-nographic');
    return;
  }
  const model = MODELS[type];
  if (model === undefined) throw new Error(`the display '${type}' is not part of the simulated node: it needs SPICE`);
  const memory = settings['memory'] === undefined ? '' : `,vgamem_mb=${settings['memory']}`;
  const place = draft.machine.q35 ? ',bus=pcie.0,addr=0x1' : draft.slots.place('vga');
  const plain = type === 'std' && windowsVersion(draft.values) > 0 && draft.values['bios'] !== 'ovmf';
  draft.device('-device', `${model},id=vga${memory}${place}${plain ? ',edid=off' : ''}`);
  draft.option('-vnc', `unix:${draft.socket('vnc')},password=on`);
}

/** Adds the clipboard that a screen at a distance shares with the guest. */
export function addClipboard(draft: Draft): void {
  if (displayOf(draft).settings['clipboard'] !== 'vnc') return;
  draft.device('-device', `virtio-serial,id=spice${draft.slots.place('spice')}`);
  draft.device('-chardev', 'qemu-vdagent,id=vdagent,name=vdagent,clipboard=on');
  draft.device('-device', 'virtserialport,chardev=vdagent,name=com.redhat.spice.0');
}

/** Adds the bridges of the buses that have a device, behind what makes their own buses. */
export function addBridges(draft: Draft): void {
  const { used } = draft.slots;
  if (used.has(4)) used.add(1);
  const { q35 } = draft.machine;
  if (!q35) for (const bus of [1, 2]) used.add(bus);
  if (!q35 && draft.values['scsihw'] === 'virtio-scsi-single') used.add(3);
  for (const bus of [...used].sort((a, b) => b - a)) {
    const bridge = `pci-bridge,id=pci.${bus},chassis_nr=${bus}${pciPlace(`pci.${bus}`)}`;
    if (q35 && bus >= 4) draft.deviceSecond('-device', bridge);
    if (!q35 && bus > 0) draft.deviceFirst('-device', bridge);
  }
}
