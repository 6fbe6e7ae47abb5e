import type { Logger } from '../../../core/model/logger.ts';
import type { SandboxSpec } from '../../../core/model/sandbox-provider.ts';
import type { ProxmoxNode } from '../../proxmox-node.ts';
import { AddressAllocator } from './address-allocator.ts';
import { openAddressMap } from './address-map.ts';
import { type GuestNetwork, guestNetworks, networkOf, withoutAddresses } from './guest-network.ts';
import { bridgeProblem } from './bridge-state.ts';
import { checkHostPorts, closeHostPorts } from './host-ports.ts';
import { networkCard } from './network-card.ts';
import { OtherGuests } from './other-guests.ts';

/** The networks of pods' guests: what `net0` of a guest is, its firewall, and the addresses of pods from before it to after. */
export class PodNetworks {
  readonly #proxmox: ProxmoxNode;
  readonly #all: readonly GuestNetwork[];
  readonly #logger: Logger;
  #addresses: Promise<AddressAllocator> | undefined;

  constructor(proxmox: ProxmoxNode, logger: Logger) {
    this.#proxmox = proxmox;
    this.#all = guestNetworks(proxmox.networks, proxmox.name);
    this.#logger = logger;
  }

  /** Every network of this node, with its settings. */
  get configured(): readonly GuestNetwork[] {
    return this.#all;
  }

  /** The network of a namespace's pods. @throws CriError FAILED_PRECONDITION when there is none. */
  of(namespace: string): GuestNetwork {
    return networkOf(namespace, this.#all);
  }

  /**
   * Checks that a pod can have what it asks for, before anything of it is made.
   * @throws CriError UNIMPLEMENTED for host ports of the loopback, FAILED_PRECONDITION when no network is for its namespace.
   */
  check({ pod, portMappings = [] }: Pick<SandboxSpec, 'pod' | 'portMappings'>): void {
    this.of(pod.namespace);
    checkHostPorts(portMappings);
  }

  /**
   * The value of `net0` for a pod's new guest. Its addresses are the pod's from now on, until {@link release}.
   * @throws CriError RESOURCE_EXHAUSTED, FAILED_PRECONDITION, UNAVAILABLE.
   */
  async card({ id, pod, bandwidth }: Pick<SandboxSpec, 'id' | 'pod' | 'bandwidth'>): Promise<string> {
    const network = this.of(pod.namespace);
    const addresses = await (await this.#open()).reserve(id, network);
    return networkCard(network, addresses, bandwidth);
  }

  /** Enables the firewall of a new guest with its network's security groups, where the network asks for it. Errors as the API. */
  async secure(vmid: number, namespace: string): Promise<void> {
    const { firewall: isOn, firewall_policy: policy, security_groups: groups } = this.of(namespace).settings;
    if (!isOn) return;
    const { firewall } = await this.#proxmox.api();
    const ref = { kind: 'lxc', node: this.#proxmox.name, vmid } as const;
    // The IP filter lets a pod send from the addresses of its net0 alone.
    await firewall.configure(ref, { enable: 1, policy_in: policy, ipfilter: 1 });
    // Each comes before the earlier ones.
    for (const action of groups.toReversed()) await firewall.addRule(ref, { type: 'group', action, enable: 1 });
  }

  /** The addresses of a pod, in the order of its network. */
  async addressesOf(id: string, namespace: string): Promise<string[]> {
    return (await this.#open()).addressesOf(id, this.of(namespace));
  }

  /** Frees the addresses of a pod whose guest is gone; no host port leads to them then. */
  async release(id: string): Promise<void> {
    const addresses = await this.#open();
    await closeHostPorts(addresses.allOf(id));
    await addresses.release(id);
  }

  /** Pods that have addresses. */
  async owners(): Promise<string[]> {
    return (await this.#open()).owners();
  }

  /** What keeps pods of this node from having a network, for each problem a sentence. */
  async problems(): Promise<string[]> {
    if (this.#all.length === 0) return ['proxmox.networks: is empty; describe a network of the guests'];
    const found = await Promise.all(
      this.#all.map(async (network) => withoutAddresses(network, this.#proxmox.name) ?? (await bridgeProblem(network))),
    );
    return found.filter((problem) => problem !== undefined);
  }

  #open(): Promise<AddressAllocator> {
    this.#addresses ??= this.#build().catch((error: unknown) => {
      this.#addresses = undefined;
      throw error;
    });
    return this.#addresses;
  }

  async #build(): Promise<AddressAllocator> {
    const { name: node, addressMap } = this.#proxmox;
    const others = new OtherGuests();
    const inGuests = (fresh: boolean) => others.addresses(fresh);
    return new AddressAllocator({ map: await openAddressMap(addressMap), node, inGuests, logger: this.#logger });
  }
}
