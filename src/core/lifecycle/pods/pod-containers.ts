/** What pods must be able to ask of their containers. */
export interface PodContainers {
  /** Kills every container of the pod and waits until their ends are recorded. */
  endAll(sandboxId: string): Promise<void>;
  /** Removes every container of the pod. */
  removeAll(sandboxId: string): Promise<void>;
}
