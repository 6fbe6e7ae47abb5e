import * as z from 'zod';
import { configSchema } from './schema.ts';
import { tomlValue } from './toml-value.ts';

/** One key of the configuration as the schema describes it, for comments, documentation and messages. */
export interface OutlineKey {
  name: string;
  description: string;
  /** "integer, at least 1024". */
  type: string;
  default: unknown;
  /** An example, where the default is not instructive. */
  example: unknown;
  /** Keys of the entries of a list of tables, or of a table whose keys are names. */
  entries?: OutlineKey[];
}

/** One table; the first one, named "", holds the keys before any table header. */
export interface OutlineTable {
  name: string;
  description: string;
  keys: OutlineKey[];
}

interface Node {
  type?: string;
  description?: string;
  default?: unknown;
  examples?: unknown[];
  const?: unknown;
  enum?: unknown[];
  minimum?: number;
  maximum?: number;
  minItems?: number;
  items?: Node;
  properties?: Record<string, Node>;
  additionalProperties?: Node | false;
}

let built: { of: unknown; outline: OutlineTable[] } | undefined;

/** The configuration's tables and keys in the schema's order. */
export function configOutline(): OutlineTable[] {
  const schema = configSchema();
  if (built?.of !== schema) built = { of: schema, outline: build(z.toJSONSchema(schema, { io: 'input' }) as Node) };
  return built.outline;
}

/** A table that has only tables is left out; their names are dotted. */
function build(schema: Node): OutlineTable[] {
  const top: OutlineTable = { name: '', description: '', keys: [] };
  const tables = [top];
  const add = (name: string, { description, properties = {} }: Node) => {
    const children = Object.entries(properties);
    const below = children.filter(([, node]) => node.properties !== undefined);
    const keys = keysOf(Object.fromEntries(children.filter(([, node]) => node.properties === undefined)));
    if (below.length === 0 || keys.length > 0) tables.push({ name, description: sentence(description), keys });
    for (const [child, node] of below) add(`${name}.${child}`, node);
  };
  for (const [name, node] of Object.entries(schema.properties ?? {})) {
    if (node.properties === undefined) top.keys.push(keyOf(name, node));
    else if (Object.keys(node.properties).length > 0) add(name, node);
  }
  return tables;
}

function keysOf(properties: Record<string, Node>): OutlineKey[] {
  return Object.entries(properties).map(([name, child]) => keyOf(name, child));
}

function keyOf(name: string, node: Node): OutlineKey {
  const key: OutlineKey = {
    name,
    description: sentence(node.description),
    type: typeOf(node),
    default: node.default,
    example: node.examples?.[0],
  };
  const entry = node.items?.properties ?? byName(node)?.properties;
  if (entry !== undefined) key.entries = keysOf(entry);
  return key;
}

/** The tables of a table whose keys are names. */
function byName({ type, additionalProperties }: Node): Node | undefined {
  return type === 'object' && additionalProperties !== false ? additionalProperties : undefined;
}

function typeOf(node: Node): string {
  if (node.const !== undefined) return `always ${tomlValue(node.const)}`;
  if (node.enum !== undefined) return node.enum.map(tomlValue).join(' or ');
  switch (node.type) {
    case 'integer':
      return `integer${limitsOf(node)}`;
    case 'number':
      return `number${limitsOf(node)}`;
    case 'boolean':
      return 'true or false';
    case 'array':
      return node.items?.properties === undefined ? 'list of strings' : 'list of tables';
    case 'object':
      return byName(node)?.properties === undefined ? 'table of strings' : 'tables by name';
    default:
      return 'string';
  }
}

function limitsOf(node: Node): string {
  const limits: string[] = [];
  if (node.minimum !== undefined && node.minimum > Number.MIN_SAFE_INTEGER)
    limits.push(`at least ${String(node.minimum)}`);
  if (node.maximum !== undefined && node.maximum < Number.MAX_SAFE_INTEGER)
    limits.push(`at most ${String(node.maximum)}`);
  return limits.length === 0 ? '' : `, ${limits.join(', ')}`;
}

/** Descriptions are written as half sentences; the first letter is capitalized. */
function sentence(text = ''): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
