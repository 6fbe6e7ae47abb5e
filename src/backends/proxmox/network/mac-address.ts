import { parseAddress } from '../../../utils/net/address-range.ts';

/**
 * The MAC address that belongs to an IP address: a prefix of two or three bytes, and the last bytes of the IP address. Who gets
 * the IP address next has the same one, so that neighbours need not learn it again.
 * @param prefix such as `BC:24:11`.
 */
export function macOf(prefix: string, ip: string): string {
  const fixed = prefix.toUpperCase().split(':');
  const value = parseAddress(ip)?.value ?? 0n;
  const rest = Array.from({ length: 6 - fixed.length }, (_, index) => {
    const byte = (value >> BigInt(8 * (5 - fixed.length - index))) & 0xffn;
    return byte.toString(16).padStart(2, '0').toUpperCase();
  });
  return [...fixed, ...rest].join(':');
}
