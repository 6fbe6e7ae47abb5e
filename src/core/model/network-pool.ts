import type { NetworkAttachment, NetworkRequest } from './network.ts';
import type { WarmPoolFigures } from './warm-pool.ts';

/** The figures of a network pool. `ready`, `creating`, `claimed` and `missed` are of networks prepared for pods. */
export interface NetworkPoolFigures extends WarmPoolFigures {
  /** Networks that are being released: of pods that have stopped, and prepared ones that no pod gets. */
  releasing: number;
}

/** What a network pool needs to know of the pods. */
export interface NetworkPoolParts {
  /** The prepared attachments that pods have, by their records. */
  isClaimed: (id: string) => boolean;
  /** Resolves when no pod starts or stops, at the latest after `limitMs`, or when `signal` fires. */
  quiet: (limitMs: number, signal: AbortSignal) => Promise<void>;
}

/** Network namespaces that are attached ahead of their pods, and those that are released after them. */
export interface NetworkPool {
  /**
   * Adopts those of an earlier process, and keeps their number until `signal` fires; releases what pods have left. Called once, by
   * a server that serves. It does not reject: what fails is logged and tried again, with growing pauses.
   */
  keep(parts: NetworkPoolParts, signal: AbortSignal): Promise<void>;

  /** Releases every one that no pod has, without {@link keep}. @throws CriError UNAVAILABLE. */
  clear(isClaimed: (id: string) => boolean): Promise<void>;

  /**
   * Takes one for a pod; undefined when none is ready that fits. The record of the pod that has the attachment is what makes it
   * the pod's, so nothing is written here: one that no record gets is adopted by the next server. Port mappings and bandwidth
   * are added by `attach` of the network; `detach` releases it.
   */
  claim(request: NetworkRequest): Promise<NetworkAttachment | undefined>;

  /** Forgets one that a pod has claimed, when its record and its sandbox have it. */
  forget(attachment: NetworkAttachment): void;

  figures(): NetworkPoolFigures;
}

/** The figures of several pools together. */
export function sumOfPools(pools: Iterable<NetworkPool>): NetworkPoolFigures {
  const sum = { ready: 0, creating: 0, releasing: 0, claimed: 0, missed: 0 };
  for (const pool of pools) {
    const figures = pool.figures();
    for (const key of Object.keys(sum) as (keyof typeof sum)[]) sum[key] += figures[key];
  }
  return sum;
}
