import { isIPv4, isIPv6 } from 'node:net';

/** An address of the Internet Protocol as a number, with its version. */
export interface Address {
  family: 4 | 6;
  value: bigint;
}

/** Addresses of one version, `first` to `last`. */
export interface AddressRange {
  family: 4 | 6;
  first: bigint;
  last: bigint;
}

/** A subnet, such as 10.20.0.0/16. */
export interface Subnet extends AddressRange {
  /** Bits of the prefix. */
  length: number;
}

const BITS = { 4: 32, 6: 128 } as const;

/** Reads an address without a prefix length or a zone; undefined for anything else. */
export function parseAddress(text: string): Address | undefined {
  if (isIPv4(text)) {
    return { family: 4, value: text.split('.').reduce((value, byte) => (value << 8n) | BigInt(byte), 0n) };
  }
  if (!isIPv6(text) || text.includes('%')) return undefined;
  const [before = '', after] = canonical(text).split('::');
  const groups = (part: string) => (part === '' ? [] : part.split(':'));
  const [high, low] = [groups(before), groups(after ?? '')];
  const all = [...high, ...Array<string>(8 - high.length - low.length).fill('0'), ...low];
  return { family: 6, value: all.reduce((value, group) => (value << 16n) | BigInt(`0x${group}`), 0n) };
}

/** The one text of an address: dotted decimal, or as RFC 5952 has it. */
export function formatAddress({ family, value }: Address): string {
  if (family === 4) return [24n, 16n, 8n, 0n].map((shift) => String((value >> shift) & 0xffn)).join('.');
  const groups = Array.from({ length: 8 }, (_, index) => (value >> BigInt(16 * (7 - index))) & 0xffffn);
  return canonical(groups.map((group) => group.toString(16)).join(':'));
}

/** Reads `ADDRESS/BITS` without bits behind the prefix; undefined for anything else. */
export function parseSubnet(text: string): Subnet | undefined {
  const [, base = '', bits = ''] = /^([^/]+)\/(\d{1,3})$/.exec(text) ?? [];
  const address = parseAddress(base);
  if (address === undefined || Number(bits) > BITS[address.family]) return undefined;
  const { family, value: first } = address;
  const size = 1n << BigInt(BITS[family] - Number(bits));
  return first % size === 0n ? { family, first, last: first + size - 1n, length: Number(bits) } : undefined;
}

/** Reads `FIRST-LAST`, a subnet, or one address; undefined for anything else. */
export function parseRange(text: string): AddressRange | undefined {
  if (text.includes('/')) return parseSubnet(text);
  const [first, last, ...more] = text.split('-').map((part) => parseAddress(part.trim()));
  if (first === undefined || more.length > 0) return undefined;
  if (!text.includes('-')) return { family: first.family, first: first.value, last: first.value };
  if (last?.family !== first.family || last.value < first.value) return undefined;
  return { family: first.family, first: first.value, last: last.value };
}

/** The range as people write it: `10.20.1.0-10.20.1.255`. */
export function formatRange({ family, first, last }: AddressRange): string {
  const [from, to] = [first, last].map((value) => formatAddress({ family, value }));
  return from === to ? `${from}` : `${from}-${to}`;
}

/** Whether `inner` lies in `outer` as a whole. */
export function isWithin(inner: AddressRange, outer: AddressRange): boolean {
  return inner.family === outer.family && inner.first >= outer.first && inner.last <= outer.last;
}

/** Whether two ranges have an address in common. */
export function overlap(a: AddressRange, b: AddressRange): boolean {
  return a.family === b.family && a.first <= b.last && b.first <= a.last;
}

/** The URL standard serializes IPv6 addresses by the rules of RFC 5952. */
function canonical(text: string): string {
  return new URL(`http://[${text}]`).hostname.slice(1, -1);
}
