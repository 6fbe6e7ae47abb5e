import * as formats from './params/formats.ts';
import { integer, required, text, type Property, type Release } from './params/property.ts';
import { has, type Method } from './method.ts';

/** A method and the parameters that its path holds. */
export interface Route {
  readonly method: Method;
  readonly path: Readonly<Record<string, string>>;
}

/** What parameters of a path are, by their names. */
export const pathParameters: Readonly<Record<string, Property>> = {
  node: required(text({ format: formats.nodeName })),
  vmid: required(integer(100, 999999999, { format: formats.vmid })),
  name: required(text({ minLength: 2, maxLength: 64 })),
  snapname: required(text({ format: formats.configId, maxLength: 40 })),
  storage: required(text({ format: formats.storageId })),
  volume: required(text()),
  upid: required(text()),
  userid: required(text({ format: formats.userId, maxLength: 64 })),
  tokenid: required(text({ pattern: /[A-Za-z][A-Za-z0-9.\-_]+/ })),
  roleid: required(text({ format: formats.roleId })),
  poolid: required(text({ format: formats.poolId })),
  iface: required(text({ minLength: 2, maxLength: 20 })),
  id: required(text()),
  sid: required(text()),
  vnet: required(text()),
  zone: required(text()),
  pos: required(integer(0)),
};

/** Names of the parameters in a path. */
export function parametersIn(path: string): string[] {
  return [...path.matchAll(/\{([^}]+)\}/g)].map((match) => match[1]!);
}

interface Compiled {
  readonly pattern: RegExp;
  readonly names: readonly string[];
  readonly method: Method;
}

function compile(method: Method): Compiled {
  // A volume has slashes; no other component has any, nor a blank.
  const source = method.path.replace(/\{([^}]+)\}/g, (_all, name: string) =>
    name === 'volume' ? '(\\S+)' : '([^/\\s]+)',
  );
  return { pattern: new RegExp(`^${source}$`), names: parametersIn(method.path), method };
}

/** Finds methods by verb and path. */
export class Router {
  readonly #methods: readonly Compiled[];

  constructor(methods: readonly Method[], release: Release) {
    this.#methods = methods.filter((method) => has(method, release)).map(compile);
  }

  /** The method of `verb` on `path` (below /api2/json, decoded); undefined when there is none. */
  find(verb: string, path: string): Route | undefined {
    const clean = path.length > 1 ? path.replace(/\/+$/, '') : path;
    for (const { pattern, names, method } of this.#methods) {
      const match = method.verb === verb ? pattern.exec(clean) : null;
      if (match !== null) {
        return { method, path: Object.fromEntries(names.map((name, index) => [name, match[index + 1]!])) };
      }
    }
    return undefined;
  }
}
