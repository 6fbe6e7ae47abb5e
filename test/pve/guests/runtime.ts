import { statSync } from 'node:fs';
import type { Release } from '../api/params/property.ts';
import type { GuestRef } from '../state/guest-files.ts';
import type { Volumes } from '../state/volumes.ts';
import type { Datasets } from '../storage/zfspool/datasets.ts';
import type { GuestConfig, Section } from '../config/config-text.ts';

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
  readonly swap?: number;
  /** Percent of the last ten seconds, as the kernel's pressure files have it, by the names of the status. */
  readonly pressures?: Readonly<Record<string, string | null>>;
}

/** The monitor of a virtual machine that is a process. Its errors have the node's text. */
export interface Monitor {
  /**
   * Runs a command of the machine protocol.
   * @param timeout milliseconds
   * @returns what it answers.
   * @throws Error when it fails.
   */
  execute(command: string, parameters?: Readonly<Record<string, unknown>>, timeout?: number): Promise<unknown>;
  /** Runs a line of the monitor for people and returns what it prints. @throws Error when it fails. */
  human(line: string): Promise<string>;
  /** Runs a command of the agent in the guest, as {@link execute} does. @throws Error also when there is no agent. */
  agent(command: string, parameters?: Readonly<Record<string, unknown>>, timeout?: number): Promise<unknown>;
}

/** The cluster as a runtime sees it. */
export interface RuntimeHost {
  readonly release: Release;
  readonly directory: string;
  readonly nodes: readonly string[];
  readonly volumes: Volumes;
  /** @throws ApiError when there is no such guest. */
  readonly config: (ref: GuestRef) => GuestConfig;
  /** Has what waits for the guest's stop applied. */
  readonly ended: (ref: GuestRef) => Promise<void>;
}

/** What is copied, on this machine. */
export interface CopySource {
  readonly file: string;
  /** The dataset's snapshot, for the content of that time. */
  readonly snapshot?: string;
}

/** An archive to be unpacked into the volumes of a new container. */
export interface Archive {
  /** On this machine. */
  readonly file: string;
  /** The container's configuration, with its volumes. */
  readonly config: Section;
}

/**
 * What runs guests. The node keeps configuration, locks, tasks and permissions; a runtime makes processes of guests and
 * ends them. `ApiOnlyRuntime` runs none; `LxcRuntime` runs containers, `QemuRuntime` virtual machines.
 */
export interface GuestRuntime {
  /**
   * Begins, before any other call.
   * @throws Error when the machine lacks what it needs.
   */
  open(host: RuntimeHost): Promise<void>;
  /** Ends every guest. */
  close(): Promise<void>;
  /** The bridges of the machine; undefined where those of the cluster's store count. */
  bridges(): readonly string[] | undefined;
  /** The datasets of the machine; undefined where those of the cluster's store count. */
  datasets(): Datasets | undefined;
  /** The guest, when it runs. */
  running(ref: GuestRef): Running | undefined;
  /**
   * Writes what the node writes for the runtime's programs at each change of a guest.
   * @throws Error with the node's text where that is impossible.
   */
  generate(ref: GuestRef, config: GuestConfig): void;
  /**
   * Starts a guest.
   * @param log gets the lines of the start task
   * @throws Error with the text of the start task's error.
   */
  start(ref: GuestRef, config: GuestConfig, log: (line: string) => void): Promise<void>;
  /**
   * Ends the guest at once; one that does not run is nothing to do.
   * @param late whether it was asked before and did not end
   */
  stop(ref: GuestRef, late?: boolean): Promise<void>;
  /**
   * Asks the guest to end.
   * @param timeout milliseconds to wait for it
   * @param log gets the lines of the shutdown task
   * @returns whether it ended in time; false also when `signal` aborted the wait.
   * @throws Error when it cannot be asked.
   */
  shutdown(ref: GuestRef, timeout: number, signal: AbortSignal, log: (line: string) => void): Promise<boolean>;
  /** @param cpus how many the guest may use */
  usage(ref: GuestRef, cpus: number): Usage;
  /** The interfaces that a running container has, as the API answers them; undefined where its configuration says them. */
  interfaces(ref: GuestRef): Promise<Record<string, unknown>[] | undefined>;
  /** The monitor of a running virtual machine; undefined where it is no process. */
  monitor(ref: GuestRef): Monitor | undefined;
  /** Whether a running guest can take the value of `key` that waits in its configuration, or the removal of the key, at once. */
  takes(ref: GuestRef, key: string, config: GuestConfig): boolean;
  /**
   * Gives a running guest its new values.
   * @returns why it does not take one, by key.
   */
  change(ref: GuestRef, before: Section, config: GuestConfig): Promise<Record<string, string>>;
  /**
   * Unpacks an archive into a new container.
   * @returns the line of the task's log that says how much it was.
   * @throws Error with the text of the task's error.
   */
  unpack(ref: GuestRef, archive: Archive): Promise<string>;
  /** Does `work` while nothing of a running guest goes on, so that the snapshots of its volumes fit together. */
  frozen<T>(ref: GuestRef, work: () => Promise<T>): Promise<T>;
  /** Copies a volume's content, or that of its snapshot, into a new volume of its size. */
  copy(from: CopySource, to: string): Promise<void>;
  /** Removes what the runtime keeps of a guest that does not run on that node any more. */
  forget(ref: GuestRef): Promise<void>;
  /** Makes a guest that is a note ignore the wish to end, or obey it again. @throws Error for one that is a process. */
  ignoreShutdown(vmid: number, ignores: boolean): void;
  /** Ends a guest from within, as a crash does. */
  crash(vmid: number): void;
}

/** A runtime without processes: starting a guest notes that it runs. */
export class ApiOnlyRuntime implements GuestRuntime {
  readonly #running = new Map<number, Running>();
  readonly #deaf = new Set<number>();
  #pid = 30_000;

  open(_host: RuntimeHost): Promise<void> {
    return Promise.resolve();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  bridges(): readonly string[] | undefined {
    return undefined;
  }

  datasets(): Datasets | undefined {
    return undefined;
  }

  generate(_ref: GuestRef, _config: GuestConfig): void {
    // Nothing reads such a file.
  }

  running({ vmid }: GuestRef): Running | undefined {
    return this.#running.get(vmid);
  }

  async start({ vmid }: GuestRef, _config: GuestConfig, _log: (line: string) => void): Promise<void> {
    this.#pid += 1;
    this.#running.set(vmid, { pid: this.#pid, since: Date.now() });
  }

  async stop({ vmid }: GuestRef): Promise<void> {
    this.#running.delete(vmid);
  }

  async shutdown(ref: GuestRef, timeout: number, signal: AbortSignal, _log: (line: string) => void): Promise<boolean> {
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

  usage(_ref: GuestRef, _cpus: number): Usage {
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

  interfaces(_ref: GuestRef): Promise<Record<string, unknown>[] | undefined> {
    return Promise.resolve(undefined);
  }

  monitor(_ref: GuestRef): Monitor | undefined {
    return undefined;
  }

  takes(_ref: GuestRef, _key: string, _config: GuestConfig): boolean {
    return true;
  }

  change(_ref: GuestRef, _before: Section, _config: GuestConfig): Promise<Record<string, string>> {
    return Promise.resolve({});
  }

  unpack(_ref: GuestRef, { file }: Archive): Promise<string> {
    const { size } = statSync(file);
    return Promise.resolve(`Total bytes read: ${size} (${(size / 1024 ** 2).toFixed(1)}MiB, 66MiB/s)`);
  }

  frozen<T>(_ref: GuestRef, work: () => Promise<T>): Promise<T> {
    return work();
  }

  copy(_from: CopySource, _to: string): Promise<void> {
    return Promise.resolve();
  }

  forget(_ref: GuestRef): Promise<void> {
    return Promise.resolve();
  }

  ignoreShutdown(vmid: number, ignores: boolean): void {
    if (ignores) this.#deaf.add(vmid);
    else this.#deaf.delete(vmid);
  }

  crash(vmid: number): void {
    this.#running.delete(vmid);
  }
}
