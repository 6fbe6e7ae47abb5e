import { parsePropertyString } from '../../schema/check-value.ts';
import { LxcConfigFailure, type LxcSurroundings } from './surroundings.ts';
import type { ProxmoxRelease } from '../model.ts';
import { perlTrue } from './perl-number.ts';
import { networkFormat } from '../property-formats.ts';

/**
 * The lines of one `netN`. Addresses stand there only where the host manages them; else the guest's own files have them.
 * @throws {PropertyStringError} a value that is none
 * @throws {LxcConfigFailure} a bridge that is missing or too narrow, SLAAC on a network that the host manages
 */
export function networkLines(
  key: string,
  value: string,
  of: { vmid: number; release: ProxmoxRelease; surroundings: LxcSurroundings; warn: (text: string) => void },
): string[] {
  const index = key.slice('net'.length);
  const net = parsePropertyString(networkFormat(of.release), value);
  const { bridge = '' } = net;
  const bridgeMtu = of.surroundings.bridges[bridge];
  if (net['bridge'] === undefined) {
    const warning = 'Use of uninitialized value $bridge in concatenation (.) or string';
    of.warn(warning);
    of.warn(warning);
  }
  if (bridgeMtu === undefined) throw new LxcConfigFailure(`bridge '${bridge}' does not exist`);
  const mtu = perlTrue(net['mtu']) ? net['mtu'] : String(bridgeMtu);
  if (Number(mtu) > bridgeMtu)
    throw new LxcConfigFailure(`${key}: MTU size '${mtu}' is bigger than bridge MTU '${bridgeMtu}'`);
  const managed = net['host-managed'] === '1' && net['link_down'] !== '1';
  return [
    'type = veth',
    `veth.pair = veth${of.vmid}i${index}`,
    `hwaddr = ${perlTrue(net['hwaddr']) ? net['hwaddr'] : of.surroundings.randomMac()}`,
    `name = ${net['name']}`,
    `mtu = ${mtu}`,
    'script.up = /usr/share/lxc/lxcnetaddbr',
    ...(managed ? managedLines(key, net) : []),
  ].map((line) => `lxc.net.${index}.${line}`);
}

function managedLines(key: string, net: Record<string, string>): string[] {
  const lines: string[] = [];
  const address = (name: string, value: string | undefined): void => {
    if (value !== undefined && value !== 'dhcp' && value !== 'manual') lines.push(`${name} = ${value}`);
  };
  address('ipv4.address', net['ip']);
  address('ipv4.gateway', net['gw']);
  if (net['ip6'] === 'auto')
    throw new LxcConfigFailure(`${key}: SLAAC is not supported for host-managed network configuration`);
  address('ipv6.address', net['ip6']);
  address('ipv6.gateway', net['gw6']);
  lines.push('flags = up');
  return lines;
}
