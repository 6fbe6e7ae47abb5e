/** What happened to a container, CRI's ContainerEventType. */
export type ContainerEventKind = 'created' | 'started' | 'stopped' | 'deleted';

export interface ContainerEvent {
  kind: ContainerEventKind;
  /** A container's id, or the sandbox's own for events of the sandbox. */
  containerId: string;
  sandboxId: string;
  /** Nanoseconds since 1970. */
  at: bigint;
}

type Listener = (event: ContainerEvent) => void;

/** Hands events to whoever listens; a listener that throws does not disturb the others or the sender. */
export class EventBus {
  readonly #listeners = new Set<Listener>();
  readonly #onError: (error: unknown) => void;

  constructor(onError: (error: unknown) => void) {
    this.#onError = onError;
  }

  /** Returns the unsubscriber. */
  subscribe(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  publish(event: ContainerEvent): void {
    for (const listener of this.#listeners) {
      try {
        listener(event);
      } catch (error) {
        this.#onError(error);
      }
    }
  }
}
