import type { Backend } from '../../model/backend.ts';
import { invalidArgument } from '../../model/errors.ts';
import type { SandboxRecord } from '../../model/sandbox.ts';
import type { SandboxProvider, SandboxReference, SandboxStatus } from '../../model/sandbox-provider.ts';
import type { PluginPod, Plugins } from '../../model/plugins.ts';
import type { ContainerEventKind } from '../events/event-hub.ts';
import { lookupById } from '../ids.ts';
import { NameRegistry } from '../names.ts';
import { RecordStore } from '../records/record-store.ts';
import type { PodServiceOptions } from './pod-options.ts';
import { podName, sandboxSchema } from './sandbox-record.ts';
import { sandboxReference } from './sandbox-spec.ts';

/** The pods' records and names, and their backends. */
export class PodStore {
  readonly names = new NameRegistry('pod sandbox');
  readonly records: RecordStore<SandboxRecord>;
  /** By handler. */
  readonly backends: ReadonlyMap<string, Backend>;
  readonly plugins: Plugins;
  readonly #options: PodServiceOptions;

  constructor(options: PodServiceOptions) {
    this.#options = options;
    this.plugins = options.plugins;
    this.backends = new Map(options.backends.map((backend) => [backend.sandboxes.handler, backend]));
    this.records = new RecordStore('sandboxes', options.records, {
      ...options,
      schema: sandboxSchema(options.stored),
    });
  }

  /** Reads the records and reserves their names. */
  async load(): Promise<void> {
    await this.records.load();
    for (const record of this.records.list()) this.names.restore(podName(record.spec.metadata), record.id);
  }

  /** Also of pods that are not visible. @throws CriError INVALID_ARGUMENT for an ambiguous prefix. */
  find(id: string): SandboxRecord | undefined {
    return lookupById('pod sandbox', this.records.list(), id);
  }

  /** Whether a pod runs, by its record and its provider. */
  status(record: SandboxRecord): SandboxStatus {
    if (record.phase !== 'ready') return { state: 'ended', reason: 'it was stopped' };
    return this.provider(record.handler).status(this.reference(record));
  }

  /** The pod for plugins. */
  forPlugins(record: SandboxRecord): PluginPod {
    const status = this.status(record);
    return { record, placement: status.state === 'running' ? status.placement : undefined };
  }

  /** The sandbox for its provider. */
  reference(record: SandboxRecord): SandboxReference {
    return sandboxReference(record, this.backend(record.handler).platform.podDirectories.path(record.id));
  }

  /** @throws CriError INVALID_ARGUMENT for a handler that is not configured. */
  provider(handler: string): SandboxProvider {
    return this.backend(handler).sandboxes;
  }

  /** @throws CriError INVALID_ARGUMENT for a handler that is not configured. */
  backend(handler: string): Backend {
    const backend = this.backends.get(handler);
    if (backend === undefined) {
      const known = [...this.backends.keys()].join(', ');
      throw invalidArgument('runtime_handler', `unknown handler ${JSON.stringify(handler)}; use one of ${known}`);
    }
    return backend;
  }

  /** Publishes an event of a pod; `sandbox` is its last record when it was removed. */
  publish(kind: ContainerEventKind, id: string, sandbox?: SandboxRecord): void {
    const at = this.#options.clock.now();
    this.#options.events.publish({
      kind,
      containerId: id,
      sandboxId: id,
      at,
      ...(sandbox !== undefined && { sandbox }),
    });
  }
}
