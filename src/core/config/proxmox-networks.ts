import * as z from 'zod';
import {
  type AddressRange,
  formatRange,
  isWithin,
  overlap,
  parseAddress,
  parseRange,
  parseSubnet,
  type Subnet,
} from '../../utils/net/address-range.ts';

/** Link-local addresses of IPv6 (RFC 4291), which a router may have as well: fe80::/10. */
const LINK_LOCAL: AddressRange = { family: 6, first: 0xfe8n << 116n, last: (0xfecn << 116n) - 1n };
/** Bytes of the smallest MTU of IPv6 (RFC 8200). */
const IPV6_MTU = 1280;

const network = (bridge: z.ZodType<string, string>, node: z.ZodType<string, string>) =>
  z.strictObject({
    namespaces: z
      .array(z.string().min(1))
      .min(1)
      .default(['*'])
      .describe('namespaces of the pods of this network; `*` stands for any characters'),
    bridge: bridge.default('vmbr0').describe('bridge; a virtual network of the SDN with its zone, as ZONE/VNET'),
    tag: z.int().min(0).max(4094).default(0).describe('VLAN of the pods, on a VLAN-aware bridge; 0: none'),
    rate: z
      .number()
      .min(0)
      .default(0)
      .describe('limit of a pod in MB/s for each direction; 0: none. Bandwidth annotations of a pod lower it'),
    mtu: z.int().min(0).max(65_535).default(0).describe("MTU in bytes; 0: the bridge's"),
    mac_prefix: z
      .string()
      .regex(
        /^$|^[0-9A-Fa-f][02468ACEace](?::[0-9A-Fa-f]{2}){1,2}$/,
        'must be the first two or three bytes of a unicast MAC address, such as "BC:24:11", or ""',
      )
      .default('')
      .describe(
        'first two or three bytes of MAC addresses, the rest of which follows the IP address; "": Proxmox VE chooses each',
      ),
    firewall: z
      .boolean()
      .default(false)
      .describe("put the pods behind the firewall of Proxmox VE, and enable it in each guest's firewall options"),
    firewall_policy: z
      .enum(['ACCEPT', 'DROP', 'REJECT'])
      .default('DROP')
      .describe('what the firewall does with packets to a pod that no rule is about'),
    security_groups: z
      .array(z.string().regex(/^[A-Za-z][\w-]{1,17}$/, 'must be the name of a security group'))
      .default([])
      .describe('security groups of the firewall that apply to the pods, in their order'),
    subnets: z
      .array(z.string())
      .min(1)
      .max(2)
      .describe('subnets of the network, one of IPv4, of IPv6, or of each; the first has the primary address of pods'),
    gateways: z
      .array(z.string())
      .max(2)
      .default([])
      .describe('default gateways of the pods, at most one for each subnet'),
    node_addresses: z
      .record(node, z.array(z.string()).min(1).max(2))
      .default({})
      .describe('addresses of the nodes themselves in the network, by node name; no pod gets one'),
    node_routes: z
      .array(z.string())
      .default([])
      .describe('subnets that pods reach by their own node in place of a gateway, such as those of Services'),
    addresses: z
      .record(node, z.array(z.string()).min(1))
      .describe(
        'addresses of the pods of each node, by node name, as ADDRESS-ADDRESS or subnets; the same on every node, without overlaps',
      ),
  });

type Network = z.infer<ReturnType<typeof network>>;

/** The value of `proxmox.networks`. @param bridge the schema of a bridge. @param node that of a node's name. */
export function proxmoxNetworks(bridge: z.ZodType<string, string>, node: z.ZodType<string, string>) {
  return z
    .array(network(bridge, node))
    .default([])
    .superRefine((networks, context) => {
      const given: Given[] = [];
      for (const [index, one] of networks.entries()) {
        const problem: Problem = (path, message) => {
          context.addIssue({ code: 'custom', path: [index, ...path], message });
        };
        const subnets = checkSubnets(one, problem);
        checkGateways(one, subnets, problem);
        checkNodes(one, subnets, problem);
        checkAddresses(one, { subnets, given }, problem);
        if (one.security_groups.length > 0 && !one.firewall)
          problem(['security_groups'], 'has no effect without firewall = true');
        const least = subnets.some(({ family }) => family === 6) ? IPV6_MTU : 576;
        if (one.mtu !== 0 && one.mtu < least) problem(['mtu'], `must be at least ${String(least)} for these subnets`);
      }
    })
    .describe(
      'networks of the guests by the namespaces of their pods, the first that matches, where handlers.proxmox-lxc.network is "proxmox"',
    )
    .meta({
      examples: [
        [
          {
            tag: 5,
            subnets: ['10.20.0.0/16'],
            gateways: ['10.20.0.1'],
            addresses: { pve1: ['10.20.1.0/24'] },
          },
        ],
      ],
    });
}

type Problem = (path: (string | number)[], message: string) => void;

/** A range and who has it, in words. */
interface Given {
  range: AddressRange;
  whose: string;
}

function checkSubnets({ subnets }: Network, problem: Problem): Subnet[] {
  const found: Subnet[] = [];
  for (const [index, text] of subnets.entries()) {
    const subnet = parseSubnet(text);
    if (subnet === undefined)
      problem(['subnets', index], 'must be a subnet, such as "10.20.0.0/16" or "2001:db8:20::/64", without host bits');
    else if (found.some(({ family }) => family === subnet.family))
      problem(['subnets', index], `must not be a second one of IPv${String(subnet.family)}; use another network`);
    else found.push(subnet);
  }
  return found;
}

function checkGateways({ gateways }: Network, subnets: readonly Subnet[], problem: Problem): void {
  const families = new Set<number>();
  for (const [index, text] of gateways.entries()) {
    const gateway = parseRange(text);
    const fits = (subnet: Subnet) =>
      gateway !== undefined && (isWithin(gateway, subnet) || (subnet.family === 6 && isWithin(gateway, LINK_LOCAL)));
    if (parseAddress(text) === undefined || gateway === undefined || !subnets.some(fits))
      problem(['gateways', index], 'must be an address of one of the subnets');
    else if (families.has(gateway.family))
      problem(['gateways', index], `must not be a second one of IPv${String(gateway.family)}`);
    else families.add(gateway.family);
  }
}

function checkNodes(
  { addresses, node_addresses: ofNodes, node_routes: routes }: Network,
  subnets: readonly Subnet[],
  problem: Problem,
): void {
  for (const [node, texts] of Object.entries(ofNodes)) {
    for (const [index, text] of texts.entries()) {
      const address = parseAddress(text) && parseRange(text);
      if (address === undefined || !subnets.some((subnet) => isWithin(address, subnet)))
        problem(['node_addresses', node, index], 'must be an address of one of the subnets');
    }
  }
  for (const [index, text] of routes.entries()) {
    const route = parseSubnet(text);
    const has = (node: string) => (ofNodes[node] ?? []).some((one) => parseAddress(one)?.family === route?.family);
    const without = Object.keys(addresses).find((node) => !has(node));
    if (route === undefined) problem(['node_routes', index], 'must be a subnet, such as "10.96.0.0/12"');
    else if (without !== undefined)
      problem(['node_routes', index], `needs node_addresses.${without} of IPv${String(route.family)}`);
  }
}

function checkAddresses(
  { addresses }: Network,
  { subnets, given }: { subnets: readonly Subnet[]; given: Given[] },
  problem: Problem,
): void {
  for (const [node, texts] of Object.entries(addresses)) {
    const families = new Set<number>();
    for (const [index, text] of texts.entries()) {
      const path = ['addresses', node, index];
      const range = parseRange(text);
      const other = range && given.find((earlier) => overlap(earlier.range, range));
      if (range === undefined) problem(path, 'must be addresses, such as "10.20.1.0-10.20.1.255" or "10.20.1.0/24"');
      else if (!subnets.some((subnet) => isWithin(range, subnet))) problem(path, 'must lie in one of the subnets');
      else if (other !== undefined)
        problem(path, `must not have addresses of ${other.whose} (${formatRange(other.range)})`);
      if (range === undefined) continue;
      families.add(range.family);
      given.push({ range, whose: node });
    }
    const without = subnets.find(({ family }) => !families.has(family));
    if (without !== undefined && families.size > 0)
      problem(
        ['addresses', node],
        `must have addresses of IPv${String(without.family)} as well: each pod has one of each subnet`,
      );
  }
}
