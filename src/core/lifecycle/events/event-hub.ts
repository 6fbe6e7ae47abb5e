import type { SandboxRecord } from '../../model/sandbox.ts';
import { BoundedQueue } from './bounded-queue.ts';

/** What happened to a container or pod sandbox, CRI's ContainerEventType. */
export type ContainerEventKind = 'created' | 'started' | 'stopped' | 'deleted';

export interface ContainerEvent {
  kind: ContainerEventKind;
  /** A container's id, or the sandbox's own for events of the sandbox. */
  containerId: string;
  sandboxId: string;
  /** Nanoseconds since 1970. */
  at: bigint;
  /** The sandbox's last record, where the event is its removal. */
  sandbox?: SandboxRecord;
}

/** An event with its place among all of this process: each is one more than the one before. */
export interface NumberedEvent extends ContainerEvent {
  sequence: number;
}

/** A step of a pod that others must have taken part in before it goes on. */
export type PodStep = 'ending' | 'removing';

type Listener = (event: NumberedEvent) => void;

/** Events that a reader may fall behind by: some minutes of a busy node. */
const QUEUE_LIMIT = 4096;

/**
 * Where pods and containers tell each other, and whoever listens, what happens. Events are numbered in the order they are
 * published. A listener that throws disturbs neither the others nor the publisher.
 */
export class EventHub {
  readonly #listeners = new Set<Listener>();
  readonly #steps = new Map<PodStep, ((sandboxId: string) => Promise<void>)[]>();
  readonly #onError: (error: unknown) => void;
  readonly #onDropped: () => void;
  #sequence = 0;

  /** @param outcome.dropped called for each event that a slow reader of {@link stream} loses. */
  constructor({ failed, dropped }: { failed: (error: unknown) => void; dropped: () => void }) {
    this.#onError = failed;
    this.#onDropped = dropped;
  }

  /** Calls `listener` within {@link publish} for each event from now on. Returns the unsubscriber. */
  subscribe(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * The events from the call on, each as `render` gives it when it happens, until `signal` fires. A reader that falls behind
   * loses the oldest ones.
   */
  async *stream<T>(render: (event: NumberedEvent) => T, signal: AbortSignal): AsyncGenerator<T> {
    const queue = new BoundedQueue<T>(QUEUE_LIMIT, this.#onDropped);
    const unsubscribe = this.subscribe((event) => {
      queue.push(render(event));
    });
    try {
      yield* queue.read(signal);
    } finally {
      unsubscribe();
    }
  }

  publish(event: ContainerEvent): void {
    this.#sequence += 1;
    const numbered = { ...event, sequence: this.#sequence };
    for (const listener of this.#listeners) {
      try {
        listener(numbered);
      } catch (error) {
        this.#onError(error);
      }
    }
  }

  /** Lets `handler` take part in a step of every pod, after those that were added before. */
  onStep(step: PodStep, handler: (sandboxId: string) => Promise<void>): void {
    this.#steps.set(step, [...(this.#steps.get(step) ?? []), handler]);
  }

  /** Runs the handlers of a step one after the other. @throws what the first one that fails throws. */
  async step(step: PodStep, sandboxId: string): Promise<void> {
    for (const handler of this.#steps.get(step) ?? []) await handler(sandboxId);
  }
}
