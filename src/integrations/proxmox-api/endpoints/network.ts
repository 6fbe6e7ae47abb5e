import * as z from 'zod';
import type { Api } from '../api.ts';
import type { CallOptions } from '../call.ts';
import { boolean, listOf, number, optional, text } from '../lenient.ts';

const INTERFACE = z.object({
  iface: text,
  /** bridge, bond, eth, vlan, OVSBridge, vnet, … */
  type: text,
  active: optional(boolean),
  autostart: optional(boolean),
  address: optional(text),
  cidr: optional(text),
  cidr6: optional(text),
  gateway: optional(text),
  mtu: optional(number),
  bridge_ports: optional(text),
  bridge_vlan_aware: optional(boolean),
});
/** A network interface of a node. */
export type NetworkInterface = z.infer<typeof INTERFACE>;

const VNET = z.object({
  vnet: text,
  zone: optional(text),
  tag: optional(number),
  alias: optional(text),
  vlanaware: optional(boolean),
});
/** A virtual network of the cluster's SDN; guests name it as their bridge. */
export type Vnet = z.infer<typeof VNET>;

const ZONE = z.object({
  zone: text,
  type: text,
  bridge: optional(text),
  mtu: optional(number),
  nodes: optional(text),
});
/** A zone of the cluster's SDN. */
export type Zone = z.infer<typeof ZONE>;

/** Bridges of nodes and virtual networks of the cluster. Errors are those of `Api.call`. */
export class Networks {
  readonly #api: Api;

  constructor(api: Api) {
    this.#api = api;
  }

  /** The interfaces of a node; `any_bridge` gives the bridges and the SDN's virtual networks alone. */
  interfaces(node: string, type?: 'bridge' | 'any_bridge', options?: CallOptions): Promise<NetworkInterface[]> {
    const call = { method: 'GET', template: '/nodes/{node}/network', at: { node }, params: { type } } as const;
    return this.#api.call(call, listOf(INTERFACE), options);
  }

  vnets(options?: CallOptions): Promise<Vnet[]> {
    return this.#api.call({ method: 'GET', template: '/cluster/sdn/vnets' }, listOf(VNET), options);
  }

  zones(options?: CallOptions): Promise<Zone[]> {
    return this.#api.call({ method: 'GET', template: '/cluster/sdn/zones' }, listOf(ZONE), options);
  }
}
