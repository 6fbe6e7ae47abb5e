import { forbidden } from '../http/api-error.ts';
import type { Privileges } from './privileges.ts';
import type { Grant, Store } from './store.ts';

/** Who asks: a user by a ticket, or a token of a user. */
export interface Identity {
  readonly user: string;
  readonly token?: string;
}

/** The name of an identity as ACLs, UPIDs and logs have it: `user@realm` or `user@realm!token`. */
export function nameOf({ user, token }: Identity): string {
  return token === undefined ? user : `${user}!${token}`;
}

const validPath =
  /^\/(?:|access(?:\/(?:groups|realm)(?:\/[^/]+)?)?|nodes(?:\/[\w.-]+)?|pool(?:\/[\w.-]+){0,3}|sdn(?:\/(?:zones|controllers|dns|ipams|fabrics)(?:\/[\w.-]+){0,3})?|storage(?:\/[\w.-]+)?|vms(?:\/[1-9]\d{2,8})?|mapping(?:\/[\w.-]+){0,2})$/;

/** Whether an ACL may be on `path`. */
export function isAclPath(path: string): boolean {
  return validPath.test(path);
}

/** Every path above `path`, and it. */
function prefixes(path: string): string[] {
  const parts = path.split('/').filter((part) => part !== '');
  return ['/', ...parts.map((_part, index) => `/${parts.slice(0, index + 1).join('/')}`)];
}

/** Permissions of users and tokens, evaluated over the store. */
export class Access {
  readonly #store: Store;
  readonly #privileges: Privileges;

  constructor(store: Store, privileges: Privileges) {
    this.#store = store;
    this.#privileges = privileges;
  }

  /** Privileges of a role; undefined when there is none of that name. */
  role(name: string): readonly string[] | undefined {
    return this.#store.roles[name] ?? this.#privileges.roles.get(name);
  }

  /** The roles that nobody made, with their privileges. */
  builtIn(): [string, readonly string[]][] {
    return [...this.#privileges.roles];
  }

  /** Whether the release has the privilege. */
  knows(privilege: string): boolean {
    return this.#privileges.all.has(privilege);
  }

  /** What `who` may do on `path`: 1 for what reaches paths below, 0 for what does not. */
  permissions(who: Identity, path: string): Record<string, number> {
    const ofUser = this.#userPermissions(who.user, path);
    if (who.token === undefined) return ofUser;
    const token = this.#store.tokens[nameOf(who)];
    if (token?.privsep !== 1) return ofUser;
    const ofToken = this.#privilegesOf(this.#roles('token', nameOf(who), path));
    return Object.fromEntries(Object.entries(ofToken).filter(([privilege]) => privilege in ofUser));
  }

  /** Whether `who` has all of `privileges` on `path`; with `any`, one of them. */
  allows(who: Identity, path: string, privileges: readonly string[], any = false): boolean {
    const has = this.permissions(who, path);
    return any ? privileges.some((privilege) => privilege in has) : privileges.every((privilege) => privilege in has);
  }

  /** @throws ApiError 403 unless `who` has the privileges on `path`. */
  require(who: Identity, path: string, privileges: readonly string[], any = false): void {
    if (!this.allows(who, path, privileges, any)) throw forbidden(`${path}, ${privileges.join('|')}`);
  }

  /** The paths that a dump of all permissions looks at. */
  paths(): string[] {
    const paths = new Set(['/', '/access', '/access/groups', '/nodes', '/pool', '/sdn', '/storage', '/vms']);
    for (const { path } of this.#store.acl) paths.add(path);
    for (const pool of Object.values(this.#store.pools)) {
      for (const vmid of pool.vms) paths.add(`/vms/${vmid}`);
      for (const storage of pool.storage) paths.add(`/storage/${storage}`);
    }
    return [...paths];
  }

  #userPermissions(user: string, path: string): Record<string, number> {
    // root is Administrator everywhere, whatever ACLs say.
    if (user === 'root@pam') return this.#privilegesOf(new Map([['Administrator', 1]]));
    return this.#privilegesOf(this.#roles('user', user, path));
  }

  #privilegesOf(roles: ReadonlyMap<string, number>): Record<string, number> {
    const privileges: Record<string, number> = {};
    for (const [role, propagate] of roles) {
      for (const privilege of this.role(role) ?? [])
        privileges[privilege] = Math.max(privileges[privilege] ?? 0, propagate);
    }
    return privileges;
  }

  #roles(type: Grant['type'], ugid: string, path: string): Map<string, number> {
    const roles = this.#rolesOnPath(type, ugid, path);
    const pool = this.#poolOf(path);
    if (pool !== undefined && !roles.has('NoAccess')) {
      for (const [role, propagate] of this.#rolesOnPath(type, ugid, `/pool/${pool}`)) {
        if (!roles.has(role)) roles.set(role, propagate);
      }
    }
    return roles;
  }

  #rolesOnPath(type: Grant['type'], ugid: string, path: string): Map<string, number> {
    let roles = new Map<string, number>();
    for (const level of prefixes(path)) {
      const own = this.#store.acl.filter(
        (grant) =>
          grant.path === level &&
          grant.type === type &&
          grant.ugid === ugid &&
          (grant.propagate === 1 || level === path),
      );
      // What is granted on a path replaces what comes from above.
      if (own.length > 0) roles = new Map(own.map((grant) => [grant.roleid, grant.propagate]));
      if (own.some((grant) => grant.roleid === 'NoAccess')) roles = new Map([['NoAccess', 1]]);
    }
    return roles;
  }

  #poolOf(path: string): string | undefined {
    const [, kind, name = ''] = /^\/(vms|storage)\/([^/]+)$/.exec(path) ?? [];
    return Object.entries(this.#store.pools).find(([, pool]) =>
      kind === 'vms' ? pool.vms.includes(Number(name)) : kind === 'storage' && pool.storage.includes(name),
    )?.[0];
  }
}
