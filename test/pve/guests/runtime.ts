import type { GuestRef } from '../state/guest-files.ts';
import type { GuestConfig } from '../config/config-text.ts';

/** A guest that runs. */
export interface Running {
  readonly pid: number;
  /** Milliseconds since the epoch. */
  readonly since: number;
}

/** What a running guest uses; bytes, and CPUs as a fraction of one. */
export interface Usage {
  readonly mem: number;
  readonly cpu: number;
  readonly disk: number;
  readonly maxdisk: number;
  readonly diskread: number;
  readonly diskwrite: number;
  readonly netin: number;
  readonly netout: number;
}

/**
 * What runs guests. The node keeps configuration, locks, tasks and permissions; a runtime makes processes of guests and
 * ends them. `ApiOnlyRuntime` runs none; one for containers of LXC and one for QEMU fit here.
 */
export interface GuestRuntime {
  /** The guest, when it runs. */
  running(ref: GuestRef): Running | undefined;
  /** @throws Error with the text of the start task's error. */
  start(ref: GuestRef, config: GuestConfig): Promise<void>;
  /** Ends the guest at once; one that does not run is nothing to do. */
  stop(ref: GuestRef): Promise<void>;
  /**
   * Asks the guest to end.
   * @param timeout milliseconds to wait for it
   * @returns whether it ended in time; false also when `signal` aborted the wait.
   */
  shutdown(ref: GuestRef, timeout: number, signal: AbortSignal): Promise<boolean>;
  usage(ref: GuestRef): Usage;
}

/** A runtime without processes: starting a guest notes that it runs. */
export class ApiOnlyRuntime implements GuestRuntime {
  readonly #running = new Map<number, Running>();
  readonly #deaf = new Set<number>();
  #pid = 30_000;

  running({ vmid }: GuestRef): Running | undefined {
    return this.#running.get(vmid);
  }

  async start({ vmid }: GuestRef): Promise<void> {
    this.#pid += 1;
    this.#running.set(vmid, { pid: this.#pid, since: Date.now() });
  }

  async stop({ vmid }: GuestRef): Promise<void> {
    this.#running.delete(vmid);
  }

  async shutdown(ref: GuestRef, timeout: number, signal: AbortSignal): Promise<boolean> {
    if (this.#deaf.has(ref.vmid)) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, timeout);
        signal.addEventListener('abort', () => {
          clearTimeout(timer);
          resolve();
        });
      });
      return this.running(ref) === undefined;
    }
    await this.stop(ref);
    return true;
  }

  usage(): Usage {
    return {
      mem: 4_194_304,
      cpu: 0,
      disk: 8_241_152,
      maxdisk: 1_073_741_824,
      diskread: 4096,
      diskwrite: 8192,
      netin: 0,
      netout: 0,
    };
  }

  /** Makes a guest one whose processes ignore the wish to end, or obey it again. */
  ignoreShutdown(vmid: number, ignores: boolean): void {
    if (ignores) this.#deaf.add(vmid);
    else this.#deaf.delete(vmid);
  }

  /** Ends a guest from within, as a crash of its init does. */
  crash(vmid: number): void {
    this.#running.delete(vmid);
  }
}
