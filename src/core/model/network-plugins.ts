/** CNI plugins that do the same for every pod, by their configuration alone: they can be called before the pod is known. */
export const AHEAD_PLUGINS: ReadonlySet<string> = new Set([
  'bridge',
  'ptp',
  'macvlan',
  'ipvlan',
  'dummy',
  'tuning',
  'firewall',
  'sbr',
  'vrf',
]);

/** Those that can be called for an attached pod, and do nothing for one that asks nothing of them. */
export const CLAIM_PLUGINS: ReadonlySet<string> = new Set(['portmap', 'bandwidth']);

/** IPAM plugins that give no address a second time before its DEL. */
export const AHEAD_IPAM: ReadonlySet<string> = new Set(['host-local']);

/** Whether a plugin of a network, of IPAM or not, prevents that it is prepared for pods. */
export function isOnlyForPods(type: string): boolean {
  return !AHEAD_PLUGINS.has(type) && !CLAIM_PLUGINS.has(type) && !AHEAD_IPAM.has(type);
}
