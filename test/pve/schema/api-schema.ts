import { readFileSync } from 'node:fs';
import type { ValueSchema } from './types.ts';

/** One method of the API as the schema describes it. */
export interface ApiMethod {
  method: string;
  /** The path below `/api2/json`, such as `/nodes/{node}/lxc/{vmid}/config`. */
  template: string;
  parameters: ValueSchema;
  /** Absent where the schema does not say what is answered. */
  returns?: ValueSchema;
}

/** A method, and what the path says of its parameters. */
export interface FoundMethod {
  api: ApiMethod;
  pathParameters: Record<string, string>;
}

interface SchemaNode {
  path: string;
  info?: Record<string, { parameters?: ValueSchema; returns?: ValueSchema | null }>;
  children?: SchemaNode[];
}

/** Parameters that take the rest of the path, slashes and all. */
const TAKES_REST = new Set(['volume', 'poolid']);

/** The API of one release, from Proxmox's own description of it. */
export class ApiSchema {
  readonly methods: readonly ApiMethod[];

  /** @param path the schema as JSON, a list of trees; @throws {SyntaxError} a file that is none */
  constructor(path: string) {
    const methods: ApiMethod[] = [];
    const collect = (node: SchemaNode): void => {
      for (const [method, { parameters = {}, returns }] of Object.entries(node.info ?? {}))
        methods.push({ method, template: node.path, parameters, ...(returns && { returns }) });
      for (const child of node.children ?? []) collect(child);
    };
    (JSON.parse(readFileSync(path, 'utf8')) as SchemaNode[]).forEach(collect);
    this.methods = methods;
  }

  /** The method for a path below `/api2/json`, without its query; a fixed segment goes before a parameter. */
  find(method: string, path: string): FoundMethod | undefined {
    const segments = path.split('/').slice(1).map(decodeURIComponent);
    const found = this.methods
      .filter((api) => api.method === method)
      .flatMap((api) => {
        const pathParameters = match(api.template, segments);
        return pathParameters === undefined ? [] : [{ api, pathParameters }];
      });
    return found.sort((a, b) => Object.keys(a.pathParameters).length - Object.keys(b.pathParameters).length)[0];
  }
}

function match(template: string, segments: readonly string[]): Record<string, string> | undefined {
  const parts = template.split('/').slice(1);
  const parameters: Record<string, string> = {};
  for (const [index, part] of parts.entries()) {
    const [, name] = /^\{(.+)\}$/.exec(part) ?? [];
    const last = index === parts.length - 1;
    if (name !== undefined && last && TAKES_REST.has(name)) {
      const rest = segments.slice(index).join('/');
      if (rest === '') return undefined;
      return { ...parameters, [name]: rest };
    }
    const segment = segments[index];
    if (segment === undefined || segment === '') return undefined;
    if (name === undefined ? segment !== part : /\s/.test(segment)) return undefined;
    if (name !== undefined) parameters[name] = segment;
  }
  return segments.length === parts.length ? parameters : undefined;
}
