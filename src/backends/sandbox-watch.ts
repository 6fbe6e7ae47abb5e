import { watch } from 'node:fs';
import type { FSWatcher } from 'node:fs';
import type { Socket } from 'node:net';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Placement, SandboxSpec, SandboxStatus } from '../core/model/sandbox-provider.ts';
import { messageOf } from '../utils/errors.ts';
import { exists } from '../utils/fs/exists.ts';
import type { Logger } from '../core/model/logger.ts';

/** How the end of a sandbox's first process is noticed. */
export interface ExitSource {
  /** A stream that ends when the process does; undefined when its other end is gone already. */
  connect(): Promise<Socket | undefined>;
  /** Whether the process lives. */
  alive(): Promise<boolean>;
}

interface Followed {
  placement: Placement;
  runDir: string;
  controller: AbortController;
}

/**
 * Keeps the status of sandboxes current: reports when one ends, because its first process exits or its directory is
 * removed, without polling while the process's stream is open.
 */
export class SandboxWatch {
  readonly #logger: Logger;
  readonly #running = new Map<string, Followed>();
  readonly #ended = new Map<string, SandboxStatus>();
  readonly #watchers = new Map<string, FSWatcher>();
  readonly #listeners = new Set<(id: string, reason: string) => void>();

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** Calls `listener` with each followed sandbox that ends, and the reason. Returns the unsubscriber. */
  onExit(listener: (id: string, reason: string) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Follows a running sandbox, until it ends or {@link forget} is called; no effect when it is followed already. */
  follow({ id, runDir }: SandboxSpec, placement: Placement, source?: ExitSource): void {
    if (this.#running.has(id)) return;
    const controller = new AbortController();
    this.#ended.delete(id);
    this.#running.set(id, { placement, runDir, controller });
    this.#watchDirectory(dirname(runDir));
    if (source === undefined) return;
    this.#wait(id, source, controller.signal).catch((error: unknown) => {
      if (controller.signal.aborted) return;
      this.#logger.error('Watching a sandbox failed', { podSandboxId: id, error: messageOf(error) });
    });
  }

  /** The status of a sandbox; one that is not followed does not run. */
  status(id: string): SandboxStatus {
    const running = this.#running.get(id);
    if (running !== undefined) return { state: 'running', placement: running.placement };
    return this.#ended.get(id) ?? { state: 'ended', reason: 'it is not running' };
  }

  /** Stops following: the sandbox's end will not be reported. */
  forget(id: string): void {
    this.#running.get(id)?.controller.abort();
    this.#running.delete(id);
    this.#ended.delete(id);
    if (this.#running.size > 0) return;
    for (const watcher of this.#watchers.values()) watcher.close();
    this.#watchers.clear();
  }

  async #wait(id: string, source: ExitSource, signal: AbortSignal): Promise<void> {
    const socket = await source.connect();
    if (socket !== undefined) await closed(socket, signal);
    // The stream may end while the sandbox lives (started by a version without one); its end is then not reported.
    while (!signal.aborted && (await source.alive())) await sleep(1000, undefined, { signal, ref: false });
    if (!signal.aborted) this.#end(id, 'its pause process exited');
  }

  #end(id: string, reason: string): void {
    const followed = this.#running.get(id);
    if (followed === undefined) return;
    this.forget(id);
    const { network } = followed.placement.namespaces;
    this.#ended.set(id, { state: 'ended', reason, ...(network !== undefined && { networkNamespace: network }) });
    for (const listener of this.#listeners) listener(id, reason);
  }

  /** All sandboxes' directories have one parent, so that one watch covers them. */
  #watchDirectory(parent: string): void {
    if (this.#watchers.has(parent)) return;
    try {
      const watcher = watch(parent, { persistent: false }, (event) => {
        if (event === 'rename') void this.#lookForDirectories(parent);
      });
      watcher.on('error', () => undefined);
      this.#watchers.set(parent, watcher);
    } catch (error) {
      this.#logger.warn('Watching the directories of sandboxes failed', { path: parent, error: messageOf(error) });
    }
  }

  async #lookForDirectories(parent: string): Promise<void> {
    for (const [id, { runDir }] of this.#running) {
      if (dirname(runDir) !== parent) continue;
      try {
        if (!(await exists(runDir))) this.#end(id, `its directory ${runDir} was removed`);
      } catch (error) {
        this.#logger.warn('Checking the directory of a sandbox failed', { podSandboxId: id, error: messageOf(error) });
      }
    }
  }
}

function closed(socket: Socket, signal: AbortSignal): Promise<void> {
  socket.unref();
  socket.resume();
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
