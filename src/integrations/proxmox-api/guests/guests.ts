import type { Api } from '../api.ts';
import type { CallOptions, Parameter } from '../call.ts';
import type { Nodes } from '../endpoints/nodes.ts';
import { ignored, listOf } from '../lenient.ts';
import type { Upid } from '../tasks/upid.ts';
import { featuresOf, requireFeature } from '../version.ts';
import {
  GUEST_CONFIG,
  GUEST_STATUS,
  type GuestConfig,
  type GuestStatus,
  type MigratePreconditions,
  PENDING,
  type PendingValue,
  PRECONDITIONS,
  TASK_ID,
} from './answers.ts';
import { type GuestKind, type GuestRef, guestTemplate } from './guest.ts';

/** Keys of a guest's configuration: `hostname`, `memory`, `net0`, … as the API calls them. */
export type GuestSettings = Readonly<Record<string, Parameter>>;

/** How a guest is cloned. */
export interface CloneOptions {
  newid: number;
  /** `hostname` of a container, `name` of a virtual machine. */
  name?: string;
  description?: string;
  pool?: string;
  snapname?: string;
  storage?: string;
  /** A copy of all data; by default a template is linked. */
  full?: boolean;
  /** Another node, on shared storage only. */
  target?: string;
}

/** How a guest is deleted. */
export interface DeleteOptions {
  /** Stops a running container first. */
  force?: boolean;
  /** Removes it from backup jobs, replication and HA too; without it, one that is managed by HA is refused. */
  purge?: boolean;
  /** Destroys volumes that bear its VMID and are not in its configuration. */
  destroyUnreferencedDisks?: boolean;
}

/**
 * Guests of both kinds. What takes longer than a moment returns the id of a task; follow it with `Tasks.follow`. Errors are
 * those of `Api.call`: an unknown guest is `notFound`, except where the server first finds that it does not run.
 */
export class Guests {
  readonly #api: Api;
  readonly #nodes: Nodes;

  constructor(api: Api, nodes: Nodes) {
    this.#api = api;
    this.#nodes = nodes;
  }

  /** The guests of a node that the caller may see. One container whose status cannot be read makes all of it fail. */
  list(kind: GuestKind, node: string, options?: CallOptions): Promise<GuestStatus[]> {
    const call = { method: 'GET', template: `/nodes/{node}/${kind}`, at: { node } } as const;
    return this.#api.call(call, listOf(GUEST_STATUS), options);
  }

  /**
   * Creates a guest. The VMID is reserved once this has returned: of two calls for one VMID, one gets `alreadyExists`.
   * @throws CriError UNIMPLEMENTED for a setting that the node's version does not have.
   */
  async create({ kind, node, vmid }: GuestRef, settings: GuestSettings, options?: CallOptions): Promise<Upid> {
    await this.#requireFeatures(node, settings, options);
    const call = { method: 'POST', template: `/nodes/{node}/${kind}`, at: { node } } as const;
    return this.#api.call({ ...call, params: { ...settings, vmid } }, TASK_ID, options);
  }

  /** Clones a guest; the task runs under the VMID of the source. */
  clone(ref: GuestRef, { name, ...rest }: CloneOptions, options?: CallOptions): Promise<Upid> {
    const params = { ...rest, [ref.kind === 'lxc' ? 'hostname' : 'name']: name };
    return this.#api.call({ ...at(ref, 'POST', '/clone'), params }, TASK_ID, options);
  }

  /** The configuration; with `current`, without what waits for the guest to stop. */
  config(
    ref: GuestRef,
    { current = false, ...options }: CallOptions & { current?: boolean } = {},
  ): Promise<GuestConfig> {
    const params = { current: current || undefined };
    return this.#api.call({ ...at(ref, 'GET', '/config'), params }, GUEST_CONFIG, options);
  }

  /**
   * Changes the configuration; `remove` names keys to delete. With `digest`, only if the file is still the one that was
   * read (`modified` otherwise). The server may complain after it has written: see AmbiguousOutcomeError.
   */
  async configure(
    ref: GuestRef,
    change: { set?: GuestSettings; remove?: readonly string[]; digest?: string | undefined },
    options?: CallOptions,
  ): Promise<void> {
    const { set = {}, remove = [], digest } = change;
    await this.#requireFeatures(ref.node, set, options);
    const params = { ...set, delete: remove.length > 0 ? remove.join(',') : undefined, digest };
    return this.#api.call({ ...at(ref, 'PUT', '/config'), params }, ignored, options);
  }

  /** The configuration with the changes that wait for the guest to stop. */
  pending(ref: GuestRef, options?: CallOptions): Promise<PendingValue[]> {
    return this.#api.call(at(ref, 'GET', '/pending'), PENDING, options);
  }

  /** How the guest is now, whatever the slower lists of the cluster say. */
  status(ref: GuestRef, options?: CallOptions): Promise<GuestStatus> {
    return this.#api.call(at(ref, 'GET', '/status/current'), GUEST_STATUS, options);
  }

  /**
   * Starts a guest. For a VMID that does not exist the call succeeds, and the task fails; so it is for a virtual machine that
   * runs, while a container that runs is refused (`alreadyRunning`). Of one under HA the task only asks HA to start it.
   */
  start(ref: GuestRef, options?: CallOptions): Promise<Upid> {
    return this.#api.call(at(ref, 'POST', '/status/start'), TASK_ID, options);
  }

  /** Kills a guest. `overruleShutdown` ends a shutdown that is under way, which would make this fail after 10 s. */
  stop(ref: GuestRef, options: CallOptions & { overruleShutdown?: boolean } = {}): Promise<Upid> {
    const { overruleShutdown = false, ...rest } = options;
    const params = { 'overrule-shutdown': overruleShutdown || undefined };
    return this.#api.call({ ...at(ref, 'POST', '/status/stop'), params }, TASK_ID, rest);
  }

  /** Asks a guest to end, for `timeout` seconds (60 by default); with `forceStop` it is killed then. */
  shutdown(
    ref: GuestRef,
    { timeout, forceStop, ...options }: CallOptions & { timeout?: number; forceStop?: boolean } = {},
  ): Promise<Upid> {
    return this.#api.call({ ...at(ref, 'POST', '/status/shutdown'), params: { timeout, forceStop } }, TASK_ID, options);
  }

  /** Deletes a guest with the volumes that it owns. */
  delete(
    ref: GuestRef,
    { force, purge, destroyUnreferencedDisks }: DeleteOptions,
    options?: CallOptions,
  ): Promise<Upid> {
    const params = {
      // Virtual machines have no such parameter: a running one is refused.
      force: ref.kind === 'lxc' ? force : undefined,
      purge,
      'destroy-unreferenced-disks': destroyUnreferencedDisks,
    };
    return this.#api.call({ ...at(ref, 'DELETE'), params }, TASK_ID, options);
  }

  /** Enlarges a volume (`rootfs`, `mp0`, `scsi0`) to `size` ("8G") or by it ("+1G"). */
  resize(ref: GuestRef, disk: string, size: string, options?: CallOptions): Promise<Upid> {
    return this.#api.call({ ...at(ref, 'PUT', '/resize'), params: { disk, size } }, TASK_ID, options);
  }

  /** @throws CriError UNIMPLEMENTED for containers before Proxmox VE 9.0. */
  async migratePreconditions(ref: GuestRef, target?: string, options?: CallOptions): Promise<MigratePreconditions> {
    if (ref.kind === 'lxc') {
      const version = await this.#nodes.version(ref.node, options);
      requireFeature(version, 'lxcMigratePreconditions', 'asking where a container can be migrated to');
    }
    return this.#api.call({ ...at(ref, 'GET', '/migrate'), params: { target } }, PRECONDITIONS, options);
  }

  async #requireFeatures(node: string, settings: GuestSettings, options?: CallOptions): Promise<void> {
    const needed = featuresOf(settings);
    if (needed.size === 0) return;
    const version = await this.#nodes.version(node, options);
    for (const [feature, setting] of needed) requireFeature(version, feature, `the setting ${setting}`);
  }
}

function at<M extends 'GET' | 'POST' | 'PUT' | 'DELETE'>({ kind, node, vmid }: GuestRef, method: M, rest = '') {
  return { method, template: guestTemplate(kind, rest), at: { node, vmid } };
}
