import type { Clock } from '../../model/clock.ts';
import type { ContainerRecord } from '../../model/container.ts';
import type { ContainerMetadata } from '../../model/container-spec.ts';
import type { Logger } from '../../model/logger.ts';
import type { ContainerEventKind, EventHub } from '../events/event-hub.ts';
import { NameRegistry } from '../names.ts';
import { RecordStore } from '../records/record-store.ts';
import type { RecordsPlace } from '../records/record-store.ts';
import { containerSchema } from './container-record.ts';
import type { StoredContainer } from './container-record.ts';

export interface ContainerStoreOptions {
  records: RecordsPlace;
  stored: StoredContainer;
  clock: Clock;
  logger: Logger;
  events: EventHub;
  /** Called when the exit of a container has been recorded. */
  ended: (record: ContainerRecord) => Promise<void>;
}

/** The containers' records and names, and the waiters for an exit. */
export class ContainerStore {
  readonly names = new NameRegistry('container');
  readonly #records: RecordStore<ContainerRecord>;
  readonly #options: ContainerStoreOptions;
  readonly #waiters = new Map<string, Set<() => void>>();

  constructor(options: ContainerStoreOptions) {
    this.#options = options;
    this.#records = new RecordStore('containers', options.records, {
      schema: containerSchema(options.stored),
      logger: options.logger,
    });
  }

  /** Reads the records and reserves their names. */
  async load(): Promise<void> {
    await this.#records.load();
    for (const id of this.#records.lost().keys()) this.#records.forget(id);
    for (const record of this.all())
      this.names.restore(containerName(record.sandboxId, record.spec.metadata), record.id);
  }

  /** Every record, including containers whose creation has not finished. */
  all(): ContainerRecord[] {
    return this.#records.list();
  }

  /** Containers whose creation has finished. */
  visible(): ContainerRecord[] {
    return this.all().filter((record) => record.phase !== 'creating');
  }

  of(sandboxId: string): ContainerRecord[] {
    return this.all().filter((record) => record.sandboxId === sandboxId);
  }

  get(id: string): ContainerRecord | undefined {
    return this.#records.get(id);
  }

  /** Writes a change before it happens; not visible when the write fails. */
  put(record: ContainerRecord): Promise<void> {
    return this.#records.put(record);
  }

  /** Makes a step visible that ends with the boot; see RecordStore.draft. */
  draft(record: ContainerRecord): Promise<void> {
    return this.#records.draft(record);
  }

  /** Records a change that has happened, even when it cannot be written yet. */
  settle(record: ContainerRecord): Promise<void> {
    return this.#records.settle(record);
  }

  /** Whether the container is an orphan: it has no record, not even a damaged one. */
  isOrphan(id: string): boolean {
    return this.get(id) === undefined && !this.#records.isSetAside(id);
  }

  /** Records an exit, wakes its waiters and publishes it. */
  async finish(record: ContainerRecord): Promise<void> {
    await this.#records.settle(record);
    this.#wake(record.id);
    const { id, sandboxId, exitCode, reason, spec } = record;
    const fields = { containerId: id, podSandboxId: sandboxId, container: spec.metadata.name, exitCode, reason };
    this.#options.logger[reason === 'OOMKilled' ? 'warn' : 'info']('Container exited', fields);
    this.publish('stopped', record);
    await this.#options.ended(record);
  }

  /** Deletes the record of a container and its name. */
  async delete(id: string): Promise<void> {
    await this.#records.delete(id);
    this.names.release(id);
    this.#wake(id);
  }

  /** Waits until the container's exit is recorded or its record is deleted; false after `ms`. */
  async waitForEnd(id: string, ms: number): Promise<boolean> {
    const ended = () => (this.#records.get(id)?.phase ?? 'exited') === 'exited';
    if (ended()) return true;
    const waiters = this.#waiters.get(id) ?? new Set();
    this.#waiters.set(id, waiters);
    const timer = new AbortController();
    let wake: () => void = () => undefined;
    const end = new Promise<void>((resolve) => (wake = resolve));
    waiters.add(wake);
    const timeout = this.#options.clock.sleep(ms, timer.signal).catch(() => undefined);
    await Promise.race([end, timeout]);
    waiters.delete(wake);
    timer.abort();
    return ended();
  }

  publish(kind: ContainerEventKind, { id, sandboxId }: { id: string; sandboxId: string }): void {
    this.#options.events.publish({ kind, containerId: id, sandboxId, at: this.#options.clock.now() });
  }

  #wake(id: string): void {
    for (const resolve of this.#waiters.get(id) ?? []) resolve();
    this.#waiters.delete(id);
  }
}

/** The identity of a container within its pod (CRI ContainerMetadata). */
export function containerName(sandboxId: string, { name, attempt }: ContainerMetadata): string {
  return `${encodeURIComponent(name)}/${String(attempt)} in ${sandboxId}`;
}
