import { randomBytes } from 'node:crypto';
import { elements } from '../api/params/formats.ts';
import { parsePropertyString, printPropertyString } from '../api/params/property-string.ts';
import type { Kind } from '../config/kind.ts';

/** A MAC address of the node's range, at random. */
function macAddress(): string {
  const tail = [...randomBytes(3)].map((byte) => byte.toString(16).toUpperCase().padStart(2, '0'));
  return ['BC', '24', '11', ...tail].join(':');
}

/** A network interface as the file has it: with an address and, for a container, its type. */
function networkValue(kind: Kind, value: string, fresh: boolean): string {
  const card = parsePropertyString(kind.networkFormat, value);
  if (kind.type === 'lxc') {
    const { hwaddr, ...rest } = card;
    const hardware = fresh || hwaddr === undefined ? macAddress() : hwaddr;
    return printPropertyString(kind.networkFormat, { ...rest, hwaddr: hardware, type: 'veth' });
  }
  // `virtio=MAC` is how a machine's file has model and address.
  const { model, macaddr, ...rest } = card;
  const named = Object.keys(rest).find((key) => /^(?:e1000|i82|ne2k|pcnet|rtl8139|virtio|vmxnet3)/.test(key));
  const kindOf = model ?? named ?? 'virtio';
  const hardware = fresh ? macAddress() : (macaddr ?? (named === undefined ? undefined : rest[named]) ?? macAddress());
  const others = Object.entries(rest).filter(([key]) => key !== named);
  return [`${kindOf}=${hardware}`, ...others.map(([key, text]) => `${key}=${text}`)].join(',');
}

/** Tags in the order and the case that the node keeps. */
function tagsValue(value: string): string {
  return [...new Set(elements(value.toLowerCase()))].sort().join(';');
}

/** The text that the file has for a value of a request. */
export function storedValue(kind: Kind, key: string, value: string | number): string {
  if (/^net\d+$/.test(key)) return networkValue(kind, String(value), false);
  if (key === 'tags') return tagsValue(String(value));
  return String(value);
}

/** A network interface with a new address, for a clone. */
export function withNewAddress(kind: Kind, value: string): string {
  return networkValue(kind, value, true);
}
