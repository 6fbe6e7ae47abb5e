import type { Api } from '../api.ts';
import type { CallOptions } from '../call.ts';
import type { Upid } from '../tasks/upid.ts';
import { type Snapshot, SNAPSHOTS, TASK_ID } from './answers.ts';
import { type GuestRef, guestTemplate } from './guest.ts';

/** Snapshots of guests of both kinds. Changes return the id of a task. Errors are those of `Api.call`. */
export class Snapshots {
  readonly #api: Api;

  constructor(api: Api) {
    this.#api = api;
  }

  /** The snapshots, without the entry for the state that runs. */
  async list({ kind, node, vmid }: GuestRef, options?: CallOptions): Promise<Snapshot[]> {
    const call = { method: 'GET', template: guestTemplate(kind, '/snapshot'), at: { node, vmid } } as const;
    return (await this.#api.call(call, SNAPSHOTS, options)).filter(({ name }) => name !== 'current');
  }

  /** Takes a snapshot; `vmstate` includes the memory of a virtual machine. */
  create(
    { kind, node, vmid }: GuestRef,
    snapshot: { name: string; description?: string; vmstate?: boolean },
    options?: CallOptions,
  ): Promise<Upid> {
    const { name: snapname, description, vmstate } = snapshot;
    const params = { snapname, description, vmstate: kind === 'qemu' ? vmstate : undefined };
    const call = { method: 'POST', template: guestTemplate(kind, '/snapshot'), at: { node, vmid }, params } as const;
    return this.#api.call(call, TASK_ID, options);
  }

  /** Puts the guest back to a snapshot; ZFS knows the newest alone. */
  rollback(
    { kind, node, vmid }: GuestRef,
    snapname: string,
    { start, ...options }: CallOptions & { start?: boolean } = {},
  ): Promise<Upid> {
    const template = guestTemplate(kind, '/snapshot/{snapname}/rollback');
    return this.#api.call(
      { method: 'POST', template, at: { node, vmid, snapname }, params: { start } },
      TASK_ID,
      options,
    );
  }

  /** Deletes a snapshot; with `force` it leaves the configuration even where the storage fails. */
  delete(
    { kind, node, vmid }: GuestRef,
    snapname: string,
    { force, ...options }: CallOptions & { force?: boolean } = {},
  ): Promise<Upid> {
    const template = guestTemplate(kind, '/snapshot/{snapname}');
    return this.#api.call(
      { method: 'DELETE', template, at: { node, vmid, snapname }, params: { force } },
      TASK_ID,
      options,
    );
  }
}
