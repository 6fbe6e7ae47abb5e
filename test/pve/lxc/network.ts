import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parsePropertyString } from '../api/params/property-string.ts';
import type { Section } from '../config/config-text.ts';
import { lxc } from '../config/kind.ts';
import { onNode } from './process.ts';
import { tool } from './machine/tool.ts';

const MEBIBYTE = 1024 ** 2;

type Card = Readonly<Record<string, string>>;

function cards({ values }: Section): [index: string, card: Card][] {
  return Object.entries(values)
    .filter(([key]) => /^net\d+$/.test(key))
    .map(([key, value]) => [key.slice('net'.length), parsePropertyString(lxc.networkFormat, value)]);
}

/** Writes how the node's ends of the container's networks are connected, for lxcnetaddbr: rate in bytes a second, `-` for no VLAN. */
export function writeNetworks(directory: string, vmid: number, section: Section): void {
  const lines = cards(section).map(([index, card]) => {
    const { bridge = '-', tag = '-', rate = '0', link_down: down = '0', firewall = '0' } = card;
    return [`veth${vmid}i${index}`, bridge, tag, Math.round(Number(rate) * MEBIBYTE), down, firewall].join(' ');
  });
  writeFileSync(join(directory, 'networks'), lines.map((line) => `${line}\n`).join(''));
}

/** A running container whose networks are changed. */
export interface Plugged {
  readonly vmid: number;
  readonly pid: number;
  readonly directory: string;
  readonly nodeFiles: string;
}

async function connect({ vmid, directory, nodeFiles }: Plugged, interface_: string): Promise<void> {
  const env = { LXC_ROOTFS_PATH: `${directory}/rootfs`, LXC_NAME: String(vmid) };
  const [command, args] = onNode(
    nodeFiles,
    '/usr/share/lxc/lxcnetaddbr',
    String(vmid),
    'net',
    'up',
    'veth',
    interface_,
  );
  await tool(command, args, { env }).catch((error: unknown) => {
    const { message } = (error as Error).cause as Error;
    throw message === '' ? error : new Error(message);
  });
}

/** Removes the node's end of a network, and what the firewall has between it and the bridge. */
async function disconnect(vmid: number, index: string): Promise<void> {
  for (const name of [`veth${vmid}i${index}`, `fwln${vmid}i${index}`, `fwbr${vmid}i${index}`])
    if (existsSync(`/sys/class/net/${name}`)) await tool('ip', ['link', 'del', name]);
}

/**
 * Gives a running container the network `net<index>` of `after` in place of that of `before`.
 * @throws Error when the bridge does not take it.
 */
export async function changeNetwork(guest: Plugged, index: string, before: Section, after: Section): Promise<void> {
  const find = (section: Section): Card | undefined => cards(section).find(([found]) => found === index)?.[1];
  const [old, card] = [find(before), find(after)];
  const veth = `veth${guest.vmid}i${index}`;
  writeNetworks(guest.directory, guest.vmid, after);
  const same =
    old !== undefined && card !== undefined && old['hwaddr'] === card['hwaddr'] && old['name'] === card['name'];
  if (old !== undefined && !same) await disconnect(guest.vmid, index);
  if (card === undefined) return;
  if (!same) {
    const address = card['hwaddr'] === undefined ? [] : ['address', card['hwaddr']];
    const { name = 'eth0' } = card;
    await tool('ip', [
      'link',
      'add',
      veth,
      'type',
      'veth',
      'peer',
      'name',
      name,
      ...address,
      'netns',
      String(guest.pid),
    ]);
    await tool('nsenter', ['-t', String(guest.pid), '--net', 'ip', 'link', 'set', name, 'up']);
  }
  await connect(guest, veth);
}

interface Listed {
  readonly ifname: string;
  readonly address: string;
  readonly addr_info: readonly { readonly family: string; readonly local: string; readonly prefixlen: number }[];
}

/** The interfaces in the network namespace of a process, as the API answers them. */
export async function interfacesOf(pid: number): Promise<Record<string, unknown>[]> {
  const { stdout } = await tool('nsenter', ['-t', String(pid), '--net', '--', 'ip', '--json', 'a']);
  return (JSON.parse(stdout) as Listed[]).map(({ ifname, address, addr_info: addresses }) => ({
    name: ifname,
    hwaddr: address,
    'hardware-address': address,
    ...Object.fromEntries(addresses.map(({ family, local, prefixlen }) => [family, `${local}/${prefixlen}`])),
    'ip-addresses': addresses.map(({ family, local, prefixlen }) => ({
      'ip-address': local,
      'ip-address-type': family,
      prefix: String(prefixlen),
    })),
  }));
}
