import { failedPrecondition } from '../../../core/model/errors.ts';
import { matchesGlob } from '../../../core/model/glob.ts';
import type { NetworkSettings } from '../../../core/model/guest-networks.ts';
import {
  type Address,
  type AddressRange,
  isWithin,
  parseAddress,
  parseRange,
  parseSubnet,
  type Subnet,
} from '../../../utils/net/address-range.ts';

/** What a pod gets of one version of the Internet Protocol. */
export interface NetworkSubnet {
  subnet: Subnet;
  gateway: Address | undefined;
  /** What is reached by this node. */
  routes: readonly { to: Subnet; via: Address }[];
  /** Addresses of gateway and nodes, which no pod gets. */
  reserved: readonly Address[];
  /** The addresses of this node's pods. */
  ranges: readonly AddressRange[];
}

/** A network of guests, as this node has it. */
export interface GuestNetwork {
  /** Its name in the configuration, for errors. */
  field: string;
  settings: NetworkSettings;
  /** Name of the bridge's interface on the node. */
  bridge: string;
  /** One for each address of a pod, the primary one first. */
  subnets: readonly NetworkSubnet[];
}

/** The networks of the configuration, in its order, with the addresses that a node has in them. */
export function guestNetworks(all: readonly NetworkSettings[], node: string): GuestNetwork[] {
  return all.map((settings, index) => {
    const ranges = (settings.addresses[node] ?? []).flatMap((text) => parseRange(text) ?? []);
    const routes = settings.node_routes.flatMap((text) => parseSubnet(text) ?? []);
    const addresses = (texts: readonly string[] = []) => texts.flatMap((text) => parseAddress(text) ?? []);
    const gateways = addresses(settings.gateways);
    const nodes = addresses(Object.values(settings.node_addresses).flat());
    const own = addresses(settings.node_addresses[node]);
    const subnets = settings.subnets.flatMap((text) => {
      const subnet = parseSubnet(text);
      if (subnet === undefined) return [];
      const isOfIt = ({ family }: { family: 4 | 6 }) => family === subnet.family;
      const via = own.find(isOfIt);
      return {
        subnet,
        gateway: gateways.find(isOfIt),
        routes: via === undefined ? [] : routes.filter(isOfIt).map((to) => ({ to, via })),
        reserved: [...gateways, ...nodes].filter(isOfIt),
        ranges: ranges.filter((range) => isWithin(range, subnet)),
      };
    });
    const bridge = settings.bridge.split('/').at(-1) ?? settings.bridge;
    return { field: `proxmox.networks[${String(index)}]`, settings, bridge, subnets };
  });
}

/** What keeps the pods of a node from having addresses of a network; undefined for nothing. */
export function withoutAddresses({ field, subnets }: GuestNetwork, node: string): string | undefined {
  if (subnets.every(({ ranges }) => ranges.length > 0)) return undefined;
  return `${field}.addresses.${node}: is missing: give this node addresses of its own, on every node of the cluster`;
}

/**
 * The network of the pods of a namespace, by the first rule that matches.
 * @throws CriError FAILED_PRECONDITION when there is none.
 */
export function networkOf(namespace: string, networks: readonly GuestNetwork[]): GuestNetwork {
  const found = networks.find(({ settings }) => settings.namespaces.some((pattern) => matchesGlob(pattern, namespace)));
  if (found !== undefined) return found;
  throw failedPrecondition(`proxmox.networks: no network is for namespace ${namespace}; add one that names it, or "*"`);
}
