/** The figures of a warm pool; `claimed` and `missed` count since the server's start. */
export interface WarmPoolFigures {
  /** Sandboxes that wait for a pod. */
  ready: number;
  /** Those being made. */
  creating: number;
  /** Pods that took one. */
  claimed: number;
  /** Pods that could have taken one, but found none. */
  missed: number;
}

/** Sandboxes that a provider starts ahead of their pods; `create` of the provider takes them. */
export interface WarmPool {
  /**
   * Adopts those of an earlier process, and keeps their number until `signal` fires. Called once, by a server that serves. It does
   * not reject: what fails is logged and tried again, with growing pauses.
   */
  keep(signal: AbortSignal): Promise<void>;

  /** Removes every one that no pod has, without {@link keep}. @throws CriError as the provider's `remove`. */
  clear(): Promise<void>;

  figures(): WarmPoolFigures;
}
