import type { Bandwidth } from '../../../core/model/network.ts';
import type { GuestNetwork } from './guest-network.ts';
import { macOf } from './mac-address.ts';
import { formatAddress } from '../../../utils/net/address-range.ts';

/** Name of the interface in the pod. */
export const INTERFACE = 'eth0';

/** Bytes of Proxmox's MB. */
const MEBIBYTE = 1_048_576;

/**
 * The value of `net0` of a pod's guest (pct.conf(5)). Its addresses are for people and for the firewall's IP filter: nobody but
 * this server sets them in a guest that runs a pause process only, with every release.
 * @param addresses of the pod, one for each subnet.
 * @param bandwidth limits that the pod asks for.
 */
export function networkCard(
  { bridge, settings, subnets }: GuestNetwork,
  addresses: readonly string[],
  bandwidth: Bandwidth | undefined,
): string {
  const rate = rateOf(settings.rate, bandwidth);
  const values: [key: string, value: string | undefined][] = [
    ['name', INTERFACE],
    ['bridge', bridge],
    ['tag', settings.tag === 0 ? undefined : String(settings.tag)],
    ['rate', rate === undefined ? undefined : String(rate)],
    ['mtu', settings.mtu === 0 ? undefined : String(settings.mtu)],
    ['hwaddr', settings.mac_prefix === '' ? undefined : macOf(settings.mac_prefix, addresses[0] ?? '')],
    ['firewall', settings.firewall ? '1' : undefined],
    ...subnets.flatMap(({ subnet, gateway }, index): [string, string | undefined][] => {
      const suffix = subnet.family === 4 ? '' : '6';
      return [
        [`ip${suffix}`, `${addresses[index] ?? ''}/${String(subnet.length)}`],
        [`gw${suffix}`, gateway && formatAddress(gateway)],
      ];
    }),
  ];
  return values.flatMap(([key, value]) => (value === undefined ? [] : [`${key}=${value}`])).join(',');
}

/** MB/s for each direction; Proxmox has one limit for both, so that the lowest applies to both. */
function rateOf(configured: number, { ingressRate, egressRate }: Bandwidth = {}): number | undefined {
  const asked = [ingressRate, egressRate].flatMap((bits) => (bits === undefined ? [] : bits / 8 / MEBIBYTE));
  const lowest = Math.min(...(configured > 0 ? [configured] : []), ...asked);
  return Number.isFinite(lowest) ? Math.max(Number(lowest.toFixed(6)), 0.000_001) : undefined;
}
