import type { GuestConfig } from '../../config/config-text.ts';
import { parseDrive, type Drive } from '../command/disks/drives.ts';
import { parseCard, type Card } from '../command/parts/network.ts';
import { plugs } from '../command/parts/cpu.ts';

/** Settings of a drive that its machine has nothing of. */
const OF_THE_NODE = new Set(['backup', 'replicate', 'shared', 'size']);
/** Settings of a card that are those of the node's end of its network. */
const OF_THE_BRIDGE = new Set(['bridge', 'firewall', 'link_down', 'rate', 'tag', 'trunks']);

function differing(a: Readonly<Record<string, string>>, b: Readonly<Record<string, string>>): string[] {
  return [...new Set([...Object.keys(a), ...Object.keys(b)])].filter((key) => a[key] !== b[key]);
}

/** Whether both are the same card for the guest: only where the node connects it differs. */
export function isSameCard(a: Card, b: Card): boolean {
  return (
    differing(a.settings, b.settings).every((key) => OF_THE_BRIDGE.has(key)) &&
    (a.settings['bridge'] === undefined) === (b.settings['bridge'] === undefined)
  );
}

/** Whether another medium is put into the same drive. */
export function isMediumChange(a: Drive, b: Drive): boolean {
  return a.cdrom && b.cdrom;
}

function takesDrive(key: string, config: GuestConfig, wanted: string | undefined): boolean {
  const { values } = config.current;
  const pluggable = /^(?:scsi|virtio)\d+$/.test(key) && plugs(values, 'disk');
  if (wanted === undefined || values[key] === undefined) return pluggable;
  const [before, after] = [parseDrive(key, values[key]), parseDrive(key, wanted)];
  if (isMediumChange(before, after)) return true;
  if (before.file !== after.file) return pluggable;
  return differing(before.settings, after.settings).every((name) => OF_THE_NODE.has(name));
}

/** Whether a running machine takes what waits for `key` at once; keys without a device are always taken. */
export function takes(key: string, config: GuestConfig): boolean {
  const wanted = config.pending.values[key];
  const current = config.current.values[key];
  if (/^(?:ide|sata|scsi|virtio)\d+$/.test(key)) return takesDrive(key, config, wanted);
  if (!/^net\d+$/.test(key) || plugs(config.current.values, 'network')) return true;
  return wanted !== undefined && current !== undefined && isSameCard(parseCard(current), parseCard(wanted));
}
