import { matchesGlob } from '../../../../core/model/glob.ts';
import { type GuestPools, poolOf, poolsOf } from '../../../../core/model/guest-pools.ts';
import type { Logger } from '../../../../core/model/logger.ts';
import type { SandboxSpec } from '../../../../core/model/sandbox-provider.ts';
import { guestAnnotations } from './guest-annotations.ts';
import { guestName, guestTags } from './guest-name.ts';
import { guestNotes } from './guest-notes.ts';

export interface GuestSettingsOptions {
  /** Name of the handler, one of the tags. */
  handler: string;
  pools: GuestPools;
  /** Patterns of the namespaces whose pods may choose settings of their guests. */
  annotationNamespaces: readonly string[];
  logger: Logger;
}

/** The configuration of pods' guests as the API takes it, besides their memory and what they are made of. */
export class GuestSettings {
  readonly #options: GuestSettingsOptions;

  constructor(options: GuestSettingsOptions) {
    this.#options = options;
  }

  /**
   * The keys of a new guest. Annotations that have no effect are logged.
   * @throws CriError INVALID_ARGUMENT as `guestAnnotations`.
   */
  of({
    id,
    pod,
    userNamespace,
    annotations,
  }: Pick<SandboxSpec, 'id' | 'pod' | 'userNamespace' | 'annotations'>): Record<string, string | number | boolean> & {
    tags: string;
  } {
    const { handler, pools, annotationNamespaces, logger } = this.#options;
    const isTrusted = annotationNamespaces.some((pattern) => matchesGlob(pattern, pod.namespace));
    const { choices, ignored } = guestAnnotations(annotations, { isTrusted, pools: poolsOf(pools) });
    if (ignored.length > 0) {
      const reason = isTrusted
        ? 'they name no setting of a guest'
        : `handlers.${handler}.annotation_namespaces does not have the namespace`;
      const about = { podSandboxId: id, pod: `${pod.namespace}/${pod.name}`, annotations: ignored, reason };
      logger.warn('Annotations of a pod ignored', about);
    }
    const { description, tags, pool = poolOf(pod.namespace, pools), ...chosen } = choices;
    return {
      ...chosen,
      hostname: guestName(pod),
      tags: guestTags(pod, handler, tags),
      description: guestNotes(id, pod, description),
      ostype: 'unmanaged',
      swap: 0,
      console: false,
      tty: 0,
      // The console of Proxmox is a shell in the guest: a pause process has none.
      cmode: 'shell',
      onboot: false,
      unprivileged: userNamespace !== undefined,
      ...(pool !== '' && { pool }),
    };
  }
}
