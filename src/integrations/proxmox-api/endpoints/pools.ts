import * as z from 'zod';
import type { Api } from '../api.ts';
import type { CallOptions } from '../call.ts';
import { ignored, listOf, number, optional, text } from '../lenient.ts';

const POOL = z.object({ poolid: text, comment: optional(text) });
/** A resource pool; `a/b` lies in `a`. */
export type Pool = z.infer<typeof POOL>;

const MEMBERS = z.array(
  z.object({
    members: listOf(
      z.object({ id: text, type: text, node: optional(text), vmid: optional(number), storage: optional(text) }),
    ),
  }),
);
/** A guest or storage of a pool. */
export type PoolMember = z.infer<typeof MEMBERS>[number]['members'][number];

/** Resource pools. Errors are those of `Api.call`. */
export class Pools {
  readonly #api: Api;

  constructor(api: Api) {
    this.#api = api;
  }

  list(options?: CallOptions): Promise<Pool[]> {
    return this.#api.call({ method: 'GET', template: '/pools' }, listOf(POOL), options);
  }

  async members(poolid: string, options?: CallOptions): Promise<PoolMember[]> {
    const call = { method: 'GET', template: '/pools', params: { poolid } } as const;
    return (await this.#api.call(call, MEMBERS, options)).flatMap(({ members }) => members);
  }

  create(poolid: string, comment?: string, options?: CallOptions): Promise<void> {
    return this.#api.call({ method: 'POST', template: '/pools', params: { poolid, comment } }, ignored, options);
  }

  /** Adds guests to a pool, or with `remove` takes them out; `allowMove` takes them from another pool. */
  update(
    poolid: string,
    { vmids, remove, allowMove }: { vmids: readonly number[]; remove?: boolean; allowMove?: boolean },
    options?: CallOptions,
  ): Promise<void> {
    const params = { poolid, vms: vmids.join(','), delete: remove, 'allow-move': allowMove };
    return this.#api.call({ method: 'PUT', template: '/pools', params }, ignored, options);
  }

  /** @throws ProxmoxError inUse for a pool with members. */
  delete(poolid: string, options?: CallOptions): Promise<void> {
    return this.#api.call({ method: 'DELETE', template: '/pools', params: { poolid } }, ignored, options);
  }
}
