import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '../../core/model/logger.ts';
import { messageOf } from '../../core/model/errors.ts';
import { connectToMonitor } from './monitor-socket.ts';

/** Tells when guests end, by a connection to each guest's monitor: no polling while the monitor lives. */
export class GuestWatch {
  readonly #lxcPath: string;
  readonly #logger: Logger;
  readonly #watched = new Map<string, AbortController>();
  readonly #listeners = new Set<(id: string) => void>();

  constructor(lxcPath: string, logger: Logger) {
    this.#lxcPath = lxcPath;
    this.#logger = logger;
  }

  onExit(listener: (id: string) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Watches a guest that runs, until it ends or {@link forget} is called; `alive` tells whether its first process lives. */
  watch(id: string, alive: () => Promise<boolean>): void {
    if (this.#watched.has(id)) return;
    const controller = new AbortController();
    this.#watched.set(id, controller);
    void this.#follow(id, alive, controller.signal).catch((error: unknown) => {
      if (controller.signal.aborted) return;
      this.#watched.delete(id);
      this.#logger.error('Cannot watch a guest', { sandbox: id, error: messageOf(error) });
    });
  }

  /** Stops watching: the guest's end will not be told. */
  forget(id: string): void {
    this.#watched.get(id)?.abort();
    this.#watched.delete(id);
  }

  async #follow(id: string, alive: () => Promise<boolean>, signal: AbortSignal): Promise<void> {
    const socket = await connectToMonitor(this.#lxcPath, id);
    if (socket !== undefined) await closed(socket, signal);
    // A guest whose monitor alone was killed may live on, and nobody tells when it ends.
    while (!signal.aborted && (await alive())) await sleep(1000, undefined, { signal, ref: false });
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
