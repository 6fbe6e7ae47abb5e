import { z } from 'zod';
import type { Api } from '../api.ts';
import type { CallOptions } from '../call.ts';

/** Path of the access control list to the privileges there; a value tells whether it holds for what lies below too. */
export type Permissions = Readonly<Record<string, Readonly<Record<string, boolean>>>>;

const PERMISSIONS = z
  .record(z.string(), z.record(z.string(), z.unknown()))
  .transform((all): Permissions =>
    Object.fromEntries(
      Object.entries(all).map(([path, privileges]) => [
        path,
        Object.fromEntries(Object.entries(privileges).map(([name, propagates]) => [name, Number(propagates) === 1])),
      ]),
    ),
  );

/** What the caller may do. Errors are those of `Api.call`. */
export class Access {
  readonly #api: Api;

  constructor(api: Api) {
    this.#api = api;
  }

  /** The effective privileges of the user or token that asks, on one path or on all for which there is an entry. */
  permissions(path?: string, options?: CallOptions): Promise<Permissions> {
    return this.#api.call({ method: 'GET', template: '/access/permissions', params: { path } }, PERMISSIONS, options);
  }
}
