import * as z from 'zod';
import type { Api } from '../api.ts';
import type { CallOptions } from '../call.ts';
import { listOf, text, words } from '../lenient.ts';

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

const ROLE = z.object({ roleid: text, privs: words });
/** A role and its privileges. */
export type Role = z.infer<typeof ROLE>;

/** Who may do what. Errors are those of `Api.call`. */
export class Access {
  readonly #api: Api;

  constructor(api: Api) {
    this.#api = api;
  }

  /**
   * The effective privileges of the user or token that asks, on one path or on all for which there is an entry. Those of
   * another `userid` need Sys.Audit on `/access`; that is also so for a token that asks for its user's.
   */
  permissions(path?: string, { userid, ...options }: CallOptions & { userid?: string } = {}): Promise<Permissions> {
    const call = { method: 'GET', template: '/access/permissions', params: { path, userid } } as const;
    return this.#api.call(call, PERMISSIONS, options);
  }

  /** All roles of the cluster, its own and those that somebody made. */
  roles(options?: CallOptions): Promise<Role[]> {
    return this.#api.call({ method: 'GET', template: '/access/roles' }, listOf(ROLE), options);
  }
}
