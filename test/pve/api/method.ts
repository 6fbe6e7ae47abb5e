import type { Identity } from '../state/access.ts';
import type { ClusterState } from '../state/cluster-state.ts';
import type { Worker } from '../state/tasks.ts';
import type { Release, Schema, Values } from './params/property.ts';

/** A file of a multipart request. */
export interface Upload {
  readonly filename: string;
  readonly content: Buffer;
}

/** One request, checked. */
export interface Call {
  readonly state: ClusterState;
  readonly who: Identity;
  /** The node that the path names; the one asked where it names none. */
  readonly node: string;
  /** Parameters of path, query and body. */
  readonly params: Values;
  readonly upload: Upload | undefined;
  /** Starts a task on the node and returns its UPID. */
  readonly fork: (type: string, id: string, work: (worker: Worker) => Promise<void>) => string;
}

/** Who may call a method. Names in braces stand for parameters. */
export type Permission =
  | 'world'
  | 'all'
  | 'root'
  | { readonly path: string; readonly privileges: readonly string[]; readonly any?: boolean }
  | { readonly and: readonly Permission[] }
  | { readonly or: readonly Permission[] }
  /** Refuses by throwing. */
  | { readonly check: (request: PermissionRequest) => void };

/** What a permission is checked on: before parameters are, as the node does. */
export interface PermissionRequest {
  readonly state: ClusterState;
  readonly who: Identity;
  readonly params: Readonly<Record<string, unknown>>;
}

/** An answer that is more than `data`. */
export class Reply {
  readonly data: unknown;
  /** Members beside `data`. */
  readonly beside: Readonly<Record<string, unknown>>;

  constructor(data: unknown, beside: Readonly<Record<string, unknown>> = {}) {
    this.data = data;
    this.beside = beside;
  }
}

/** An answer that is a text to save. */
export class Download {
  readonly text: string;
  readonly filename: string;

  constructor(text: string, filename: string) {
    this.text = text;
    this.filename = filename;
  }
}

/** One method of the API. */
export interface Method {
  readonly verb: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** Below /api2/json, with parameters in braces. */
  readonly path: string;
  readonly permission: Permission;
  /** Parameters but those of the path. */
  readonly parameters?: Schema;
  /** Whether the node answers by its privileged daemon, which shows in the answer's headers. */
  readonly protected?: true;
  /** A token may not call it. */
  readonly noToken?: true;
  readonly only?: '8' | '9';
  readonly handle: (call: Call) => unknown;
}

/** Whether a method is there in `release`. */
export function has(method: Method, release: Release): boolean {
  return method.only === undefined || release.startsWith(method.only);
}

/** A text parameter that the request has; empty where it has none. */
export function textOf(call: Call, name: string): string {
  return String(call.params[name] ?? '');
}

/** A number or boolean that the request has; 0 where it has none. */
export function numberOf(call: Call, name: string): number {
  return Number(call.params[name] ?? 0);
}
