import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '../utils/errors.ts';
import type { Logger } from '../core/model/logger.ts';

/** How the end of one sandbox is noticed. */
export interface ExitSource {
  /** A stream that ends when the sandbox does; undefined when its other end is gone already. */
  connect(): Promise<Socket | undefined>;
  /** Whether the sandbox's first process lives. */
  alive(): Promise<boolean>;
}

/** Tells when sandboxes end, without polling as long as their streams are open. */
export class ExitWatch {
  readonly #logger: Logger;
  readonly #watched = new Map<string, AbortController>();
  readonly #listeners = new Set<(id: string) => void>();

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** Calls `listener` with the id of each watched sandbox that ends. Returns the unsubscriber. */
  onExit(listener: (id: string) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Watches a sandbox that runs, until it ends or {@link forget} is called; no effect when it is watched already. */
  watch(id: string, source: ExitSource): void {
    if (this.#watched.has(id)) return;
    const controller = new AbortController();
    this.#watched.set(id, controller);
    this.#follow(id, source, controller.signal).catch((error: unknown) => {
      if (controller.signal.aborted) return;
      this.#watched.delete(id);
      this.#logger.error('Cannot watch a sandbox', { sandbox: id, error: messageOf(error) });
    });
  }

  /** Stops watching: the sandbox's end will not be told. */
  forget(id: string): void {
    this.#watched.get(id)?.abort();
    this.#watched.delete(id);
  }

  async #follow(id: string, source: ExitSource, signal: AbortSignal): Promise<void> {
    const socket = await source.connect();
    if (socket !== undefined) await closed(socket, signal);
    // The other end may go alone (a monitor killed by hand) while the sandbox lives on, and nobody tells when it ends.
    while (!signal.aborted && (await source.alive())) await sleep(1000, undefined, { signal, ref: false });
    if (signal.aborted) return;
    this.#watched.delete(id);
    for (const listener of this.#listeners) listener(id);
  }
}

function closed(socket: Socket, signal: AbortSignal): Promise<void> {
  socket.unref();
  return new Promise((resolve) => {
    const stop = () => {
      socket.destroy();
    };
    signal.addEventListener('abort', stop, { once: true });
    if (signal.aborted) stop();
    socket.once('close', () => {
      signal.removeEventListener('abort', stop);
      resolve();
    });
  });
}
