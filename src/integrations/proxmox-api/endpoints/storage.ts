import * as z from 'zod';
import type { Api } from '../api.ts';
import type { CallOptions } from '../call.ts';
import { TASK_ID } from '../guests/answers.ts';
import { boolean, listOf, number, optional, text, words } from '../lenient.ts';
import type { Upid } from '../tasks/upid.ts';

const SPACE = {
  type: text,
  content: words,
  active: optional(boolean),
  enabled: optional(boolean),
  shared: optional(boolean),
  total: optional(number),
  used: optional(number),
  avail: optional(number),
};
const STORAGE = z.object({ storage: text, ...SPACE });
/** A storage as a node sees it; sizes are bytes. */
export type Storage = z.infer<typeof STORAGE>;

const STORAGE_STATUS = z.object(SPACE);
/** The state of one storage on a node; sizes are bytes. */
export type StorageStatus = z.infer<typeof STORAGE_STATUS>;

const STORAGE_CONFIG = z.looseObject({
  storage: text,
  type: text,
  content: words,
  nodes: optional(words),
  disable: optional(boolean),
  shared: optional(boolean),
  /** The dataset of a zfspool, `tank/ct`. */
  pool: optional(text),
  mountpoint: optional(text),
  path: optional(text),
});
/** The definition of a storage; further keys of its type are there as the server sends them. */
export type StorageConfig = z.infer<typeof STORAGE_CONFIG>;

const VOLUME = z.object({
  volid: text,
  content: optional(text),
  format: optional(text),
  size: optional(number),
  used: optional(number),
  vmid: optional(number),
  parent: optional(text),
  ctime: optional(number),
  notes: optional(text),
  protected: optional(boolean),
});
/** A volume of a storage; sizes are bytes. */
export type Volume = z.infer<typeof VOLUME>;

/** Storages and what is on them. Errors are those of `Api.call`. */
export class Storages {
  readonly #api: Api;

  constructor(api: Api) {
    this.#api = api;
  }

  /** The storages of a node; those that are not active have no sizes. */
  list(
    node: string,
    { content, enabled, ...options }: CallOptions & { content?: string; enabled?: boolean } = {},
  ): Promise<Storage[]> {
    const call = { method: 'GET', template: '/nodes/{node}/storage', at: { node } } as const;
    return this.#api.call({ ...call, params: { content, enabled } }, listOf(STORAGE), options);
  }

  status(node: string, storage: string, options?: CallOptions): Promise<StorageStatus> {
    const template = '/nodes/{node}/storage/{storage}/status';
    return this.#api.call({ method: 'GET', template, at: { node, storage } }, STORAGE_STATUS, options);
  }

  /** The definitions of all storages of the cluster that the caller may see. */
  configs(options?: CallOptions): Promise<StorageConfig[]> {
    return this.#api.call({ method: 'GET', template: '/storage' }, listOf(STORAGE_CONFIG), options);
  }

  /** The volumes on a storage, of one kind (`rootdir`, `images`, `vztmpl`) or of one guest. */
  content(
    node: string,
    storage: string,
    { content, vmid, ...options }: CallOptions & { content?: string; vmid?: number } = {},
  ): Promise<Volume[]> {
    const call = { ...contentOf(node, storage, 'GET'), params: { content, vmid } };
    return this.#api.call(call, listOf(VOLUME), options);
  }

  /** Allocates a volume of `size` ("8G", or KiB without a unit) and returns its id. It is not put into any guest. */
  allocate(
    node: string,
    storage: string,
    volume: { vmid: number; filename: string; size: string; format?: 'raw' | 'qcow2' | 'subvol' },
    options?: CallOptions,
  ): Promise<string> {
    return this.#api.call({ ...contentOf(node, storage, 'POST'), params: { ...volume } }, text, options);
  }

  /** Deletes a volume, by its id or its name on the storage. Undefined when it was done at once, without a task. */
  delete(node: string, storage: string, volume: string, options?: CallOptions): Promise<Upid | undefined> {
    const { template, at, method } = contentOf(node, storage, 'DELETE');
    const call = { method, template: `${template}/{volume}`, at: { ...at, volume } };
    return this.#api.call(call, optional(TASK_ID), options);
  }
}

function contentOf<M extends 'GET' | 'POST' | 'DELETE'>(node: string, storage: string, method: M) {
  return { method, template: '/nodes/{node}/storage/{storage}/content', at: { node, storage } };
}
