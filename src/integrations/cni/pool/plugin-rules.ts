import type { NetworkAttachment, NetworkRequest } from '../../../core/model/network.ts';
import { AHEAD_IPAM, AHEAD_PLUGINS, CLAIM_PLUGINS } from '../../../core/model/network-plugins.ts';
import { isRecord, parseCniConfig } from '../cni-config.ts';
import type { CniConfigList, CniPluginConfig } from '../cni-config.ts';
import { runtimeConfig } from '../cni-request.ts';

/** A configuration's own limits, which apply to pods that ask for none. */
const OWN_RATES = ['ingressRate', 'egressRate'];

/** A pod that asks for everything. */
const DEMANDING: NetworkRequest = {
  sandboxId: 'any',
  podName: '',
  podNamespace: '',
  podUid: '',
  netns: undefined,
  portMappings: [{ hostIp: '', hostPort: 1, containerPort: 1, protocol: 'tcp' }],
  bandwidth: { ingressRate: 1 },
  dns: { servers: [], searches: [], options: [] },
  cgroupParent: '/any',
  annotations: {},
};

/** Why pods cannot be attached to a network before they are known; undefined when they can. */
export function whyNotAhead(list: CniConfigList): string | undefined {
  const unknown = unknownIn(list);
  if (unknown !== undefined) return unknown;
  for (const plugin of list.plugins) {
    if (CLAIM_PLUGINS.has(plugin.type)) continue;
    const [asked] = Object.keys(runtimeConfig(plugin, DEMANDING));
    if (asked !== undefined) return `plugin ${plugin.type} of network ${list.name} has the capability ${asked}`;
  }
  return undefined;
}

/** Whether the release of an attachment may follow later: all of it exists, and its addresses are taken until then. */
export function mayFollow({ networks }: NetworkAttachment): boolean {
  return networks.every(({ conflist, result }) => result !== '' && unknownIn(parseCniConfig(conflist)) === undefined);
}

/** The network with the plugins that are called before the pod is known. */
export function aheadOf(list: CniConfigList): CniConfigList {
  return { ...list, plugins: list.plugins.filter(({ type }) => !CLAIM_PLUGINS.has(type)) };
}

/** The network with these plugins, and those that the pod asks something of. */
export function forPod(list: CniConfigList, request: NetworkRequest): CniConfigList {
  const asks = (plugin: CniPluginConfig) =>
    Object.keys(runtimeConfig(plugin, request)).length > 0 || OWN_RATES.some((rate) => rate in plugin);
  return { ...list, plugins: list.plugins.filter((plugin) => !CLAIM_PLUGINS.has(plugin.type) || asks(plugin)) };
}

/** The network with the plugins that are called when a pod claims it. */
export function atClaim(list: CniConfigList): CniConfigList {
  return { ...list, plugins: list.plugins.filter(({ type }) => CLAIM_PLUGINS.has(type)) };
}

/** The network with its plugin for host ports alone. */
export function hostPorts(list: CniConfigList): CniConfigList {
  return { ...list, plugins: list.plugins.filter(({ type }) => type === 'portmap') };
}

function unknownIn({ name, plugins }: CniConfigList): string | undefined {
  for (const { type, ipam } of plugins) {
    if (!AHEAD_PLUGINS.has(type) && !CLAIM_PLUGINS.has(type))
      return `plugin ${type} of network ${name} may look at the pod`;
    const by: unknown = isRecord(ipam) ? (ipam['type'] ?? '') : '';
    if (by !== '' && !AHEAD_IPAM.has(String(by)))
      return `IPAM plugin ${String(by)} of network ${name} may look at the pod`;
  }
  return undefined;
}
