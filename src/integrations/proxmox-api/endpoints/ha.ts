import * as z from 'zod';
import type { Api } from '../api.ts';
import type { CallOptions } from '../call.ts';
import { isKind } from '../errors/proxmox-error.ts';
import type { GuestRef } from '../guests/guest.ts';
import { ignored, listOf, optional, text } from '../lenient.ts';

const RESOURCE = z.object({
  /** `ct:101` or `vm:101`. */
  sid: text,
  type: optional(text),
  state: optional(text),
  group: optional(text),
});
/** A guest that HA manages. */
export type HaResource = z.infer<typeof RESOURCE>;

/** Guests under high availability. Errors are those of `Api.call`. */
export class HaResources {
  readonly #api: Api;

  constructor(api: Api) {
    this.#api = api;
  }

  /** Needs Sys.Audit on `/`. */
  list(options?: CallOptions): Promise<HaResource[]> {
    return this.#api.call({ method: 'GET', template: '/cluster/ha/resources' }, listOf(RESOURCE), options);
  }

  /** The entry of a guest, undefined where HA does not manage it. */
  async get(guest: Pick<GuestRef, 'kind' | 'vmid'>, options?: CallOptions): Promise<HaResource | undefined> {
    const call = { method: 'GET', template: '/cluster/ha/resources/{sid}', at: { sid: sidOf(guest) } } as const;
    try {
      return await this.#api.call(call, RESOURCE, options);
    } catch (error) {
      if (isKind(error, 'notFound')) return undefined;
      throw error;
    }
  }

  /** Takes a guest out of HA, which leaves it as it is. Needs Sys.Console on `/`. */
  delete(guest: Pick<GuestRef, 'kind' | 'vmid'>, options?: CallOptions): Promise<void> {
    const call = { method: 'DELETE', template: '/cluster/ha/resources/{sid}', at: { sid: sidOf(guest) } } as const;
    return this.#api.call(call, ignored, options);
  }
}

function sidOf({ kind, vmid }: Pick<GuestRef, 'kind' | 'vmid'>): string {
  return `${kind === 'lxc' ? 'ct' : 'vm'}:${vmid}`;
}
