import type { SandboxRecord } from '../../model/sandbox.ts';
import { BoundedQueue } from './bounded-queue.ts';

/** The type of an event of a container or pod sandbox (CRI ContainerEventType). */
export type ContainerEventKind = 'created' | 'started' | 'stopped' | 'deleted';

export interface ContainerEvent {
  kind: ContainerEventKind;
  /** A container's id, or the sandbox's id for events of the sandbox. */
  containerId: string;
  sandboxId: string;
  /** Nanoseconds since 1970. */
  at: bigint;
  /** The sandbox's last record when the event is its removal. */
  sandbox?: SandboxRecord;
}

/** An event with its sequence number within this process. */
export interface NumberedEvent extends ContainerEvent {
  sequence: number;
}

/** A step of a pod whose handlers must finish before it continues. */
export type PodStep = 'ending' | 'removing';

/** What became of a pod or container of an earlier server. */
export type RecoveryOutcome = 'adopted' | 'ended' | 'removed' | 'failed';

type Listener = (event: NumberedEvent) => void;

/** Maximum weight of the queued events of a reader: some minutes of a busy node. */
const QUEUE_LIMIT = 4096;

/**
 * The hub of pod and container events. Events are numbered in the order of publication. A listener that throws affects neither
 * other listeners nor the publisher.
 */
export class EventHub {
  readonly #listeners = new Set<Listener>();
  readonly #steps = new Map<PodStep, ((sandboxId: string) => Promise<void>)[]>();
  readonly #onError: (error: unknown) => void;
  readonly #onDropped: () => void;
  readonly #onRecovered: (object: 'pod' | 'container', outcome: RecoveryOutcome) => void;
  #sequence = 0;

  /**
   * @param outcome.dropped called for each event dropped for a slow reader of {@link stream}.
   * @param outcome.recovered called as {@link recovered} is.
   */
  constructor(outcome: {
    failed: (error: unknown) => void;
    dropped: () => void;
    recovered?: (object: 'pod' | 'container', outcome: RecoveryOutcome) => void;
  }) {
    this.#onError = outcome.failed;
    this.#onDropped = outcome.dropped;
    this.#onRecovered = outcome.recovered ?? (() => undefined);
  }

  /** Reports what recovery has done with an object; it is no event of the object. */
  recovered(object: 'pod' | 'container', outcome: RecoveryOutcome): void {
    this.#onRecovered(object, outcome);
  }

  /** Calls `listener` within {@link publish} for each new event. Returns the unsubscriber. */
  subscribe(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * New events, each rendered by `render` when it is published, until `signal` fires. For a slow reader the oldest ones are
   * dropped, from a total weight of 4,096 on; `weigh` gives that of one, which is 1 without it.
   */
  async *stream<T>(
    render: (event: NumberedEvent) => T,
    signal: AbortSignal,
    weigh: (rendered: T) => number = () => 1,
  ): AsyncGenerator<T> {
    const queue = new BoundedQueue<T>(QUEUE_LIMIT, weigh, this.#onDropped);
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

  /** Adds a handler to a step of every pod, after the handlers added before. */
  onStep(step: PodStep, handler: (sandboxId: string) => Promise<void>): void {
    this.#steps.set(step, [...(this.#steps.get(step) ?? []), handler]);
  }

  /** Runs the handlers of a step in order. @throws the first error. */
  async step(step: PodStep, sandboxId: string): Promise<void> {
    for (const handler of this.#steps.get(step) ?? []) await handler(sandboxId);
  }
}
