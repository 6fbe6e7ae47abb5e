import { isDeepStrictEqual } from 'node:util';
import type { SandboxSpec } from '../../../../core/model/sandbox-provider.ts';
import { withOwner } from '../../guests/owner-mark.ts';
import type { GuestSettings } from '../settings/guest-settings.ts';
import type { GuestNamespaces } from '../guest-maker.ts';

/** Keys of a guest's configuration, as the API has them. */
export type Settings = Readonly<Record<string, string | number | boolean>>;

/** The keys that Proxmox changes while a guest runs, without an effect on what runs in it. */
const OF_POD = ['hostname', 'tags', 'description', 'startup'];

/** MiB of a guest without a pod, for its pause process and a shell of `pct enter`. */
const MEMORY = 64;

const NOTES =
  'This guest is in the warm pool of proxmox-lxcri: the next Kubernetes pod that fits takes it, and names it. When it is stopped, ' +
  'another one takes its place; handlers.proxmox-lxc.warm_pool_size is the number of them.';

/** Those of a guest that no pod has: a pod with a network of its own, without a user namespace. */
export const WARM_NAMESPACES: GuestNamespaces = {
  network: 'pod',
  ipc: 'pod',
  hostname: 'proxmox-lxcri-warm',
  sysctls: {},
};

/** The configuration of a guest that no pod has, in the pool of pods that no rule matches. */
export function warmSettings(settings: GuestSettings, handler: string): Settings {
  const pod = { namespace: '', name: '', uid: '', attempt: 0 };
  return {
    ...settings.of({ id: '', pod, annotations: {} }),
    hostname: WARM_NAMESPACES.hostname,
    tags: `k8s;${handler};warm`,
    description: NOTES,
    memory: MEMORY,
  };
}

/**
 * What a pod changes in the configuration of a guest that was started ahead; undefined for a pod that cannot have one, because of
 * its namespaces or of a setting that only a new guest can have.
 * @param settings those that a new guest of the pod would have.
 */
export function changesFor(
  spec: SandboxSpec,
  settings: Settings,
  warm: Settings,
): Record<string, string | number> | undefined {
  if (spec.network !== 'pod' || spec.userNamespace !== undefined) return undefined;
  const changes: Record<string, string | number> = {};
  for (const key of new Set([...Object.keys(settings), ...Object.keys(warm)])) {
    const value = settings[key];
    if (key === 'memory') continue;
    if (!OF_POD.includes(key)) {
      if (!isDeepStrictEqual(value, warm[key])) return undefined;
    } else if (value !== undefined) {
      changes[key] = key === 'description' ? withOwner(String(value), spec.id) : String(value);
    }
  }
  return changes;
}
