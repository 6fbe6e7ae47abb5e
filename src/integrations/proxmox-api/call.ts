import { invalidArgument } from '../../core/model/errors.ts';
import type { Method } from './auth/credentials.ts';

/** A parameter of a call. Booleans go as 1 and 0, the only spelling that every part of the API accepts. */
export type Parameter = string | number | boolean | undefined;
export type Parameters = Readonly<Record<string, Parameter>>;

/** What a caller may ask of any call. */
export interface CallOptions {
  signal?: AbortSignal | undefined;
  /** Calls with the same key take turns with those of other keys, so that no caller waits for all of another's. */
  caller?: string | undefined;
  /** Milliseconds for one attempt, from the moment it is sent. */
  timeoutMs?: number | undefined;
  /** Uses the root@pam credentials, for what no token may do. */
  asRoot?: boolean | undefined;
}

/** One call of the API. */
export interface Call {
  method: Method;
  /** The path below `/api2/json` with `{name}` for each part of `at`; it names the call in metrics and errors. */
  template: string;
  at?: Readonly<Record<string, string | number>>;
  params?: Parameters;
}

/** Names in a path that consist of several parts: the volume `local:vztmpl/a.tar.gz`. */
const WITH_SLASHES = ['volume'];

/**
 * The path of a call with its query, below the origin. The server decodes a path before it splits it, so an encoded slash
 * would lead to another method: names that contain one are refused.
 * @throws CriError INVALID_ARGUMENT that names the part of the path.
 */
export function pathOf({ method, template, at = {}, params = {} }: Call): string {
  const path = template.replaceAll(/\{(\w+)\}/g, (_, name: string) => encodePart(name, at[name]));
  const hasBody = method === 'POST' || method === 'PUT';
  const query = hasBody ? '' : new URLSearchParams(Object.entries(wire(params)).map(pair)).toString();
  // URLSearchParams writes a blank as "+", which the server reads so too.
  return `/api2/json${path}${query && `?${query}`}`;
}

/** The body of a call, undefined where the server refuses one (GET and DELETE). An empty one is `{}`, never nothing. */
export function bodyOf({ method, params = {} }: Call): string | undefined {
  return method === 'POST' || method === 'PUT' ? JSON.stringify(wire(params)) : undefined;
}

function wire(params: Parameters): Record<string, string | number> {
  const sent: Record<string, string | number> = {};
  for (const [name, value] of Object.entries(params)) {
    if (value !== undefined) sent[name] = typeof value === 'boolean' ? Number(value) : value;
  }
  return sent;
}

function pair([name, value]: [string, string | number]): [string, string] {
  return [name, String(value)];
}

function encodePart(name: string, value: string | number | undefined): string {
  const text = String(value ?? '');
  const parts = WITH_SLASHES.includes(name) ? text.split('/') : [text];
  if (parts.some((part) => ['', '.', '..'].includes(part) || /[\x00-\x20/?#\\\x7f]/.test(part))) {
    throw invalidArgument(name, `${JSON.stringify(text)} cannot be part of a path of the Proxmox API`);
  }
  return parts.map(encodeURIComponent).join('/');
}
