import { CriError, StatusCode, unavailable } from '../../../core/model/errors.ts';
import type { Network, NetworkAttachment, NetworkReadiness, NetworkRequest } from '../../../core/model/network.ts';
import { checkCard, configureCard } from './configure-card.ts';
import { closeHostPorts, hasHostPorts, openHostPorts } from './host-ports.ts';
import type { PodNetworks } from './pod-networks.ts';

/**
 * Pods' networks by Proxmox VE: each guest is connected by its `net0`, with addresses that the provider has reserved before it
 * made the guest, and frees when the guest is gone. Such an attachment has no networks of CNI; one that does, of a pod that ran
 * before the handler's network was changed, is CNI's.
 */
export class ProxmoxNetwork implements Network {
  readonly #networks: PodNetworks;
  readonly #cni: Network;

  constructor(networks: PodNetworks, cni: Network) {
    this.#networks = networks;
    this.#cni = cni;
  }

  async readiness(): Promise<NetworkReadiness> {
    const problems = await this.#networks.problems();
    if (problems.length === 0) return { ready: true, reason: '', message: '' };
    return { ready: false, reason: 'NetworkPluginNotReady', message: problems.join('; ') };
  }

  describe(): Promise<Record<string, unknown>> {
    return Promise.resolve({ manager: 'proxmox', networks: this.#networks.configured });
  }

  async attach(
    { sandboxId, podNamespace, netns, portMappings }: NetworkRequest,
    progress: (soFar: NetworkAttachment) => Promise<void>,
    signal?: AbortSignal,
  ): Promise<NetworkAttachment> {
    if (netns === undefined) throw new CriError(StatusCode.INTERNAL, 'the pod has no network namespace of this host');
    const network = this.#networks.of(podNamespace);
    const ips = await this.#networks.addressesOf(sandboxId, podNamespace);
    if (ips.length < network.subnets.length)
      throw unavailable(`the map of addresses does not have those of the pod; run it again`);
    const attachment = { ips, networks: [] };
    await progress(attachment);
    await configureCard(netns, network, ips, signal);
    if (portMappings.length > 0) await openHostPorts(ips, portMappings, signal);
    return attachment;
  }

  /** The interface goes with the guest, and its addresses when the guest is gone. */
  async detach(request: NetworkRequest, attachment: NetworkAttachment): Promise<void> {
    if (attachment.networks.length > 0) await this.#cni.detach(request, attachment);
    else if (request.portMappings.length > 0) await closeHostPorts(attachment.ips);
  }

  async check(request: NetworkRequest, attachment: NetworkAttachment): Promise<void> {
    if (attachment.networks.length > 0) return this.#cni.check(request, attachment);
    if (request.netns !== undefined) await checkCard(request.netns, attachment.ips);
    if (request.portMappings.length === 0) return;
    for (const ip of attachment.ips) {
      if (await hasHostPorts(ip, request.portMappings)) continue;
      throw unavailable(`the rules of iptables for the host ports of ${ip} have been changed`);
    }
  }

  /** Addresses without a pod go with the provider's orphans. */
  collectGarbage(): Promise<void> {
    return Promise.resolve();
  }

  /** Ranges of the kubelet are for networks of the node's own. */
  setPodRanges(): Promise<void> {
    return Promise.resolve();
  }
}
