import { performance } from 'node:perf_hooks';
import * as z from 'zod';
import type { Api } from '../api.ts';
import type { CallOptions } from '../call.ts';
import { listOf, number, optional, text } from '../lenient.ts';
import { parseVersion, type Version } from '../version.ts';

const NODE = z.object({
  node: text,
  status: z.enum(['online', 'offline', 'unknown']).catch('unknown'),
  /** SHA-256 of the certificate: what `Trust.fingerprints` takes. */
  ssl_fingerprint: optional(text),
  cpu: optional(number),
  maxcpu: optional(number),
  mem: optional(number),
  maxmem: optional(number),
  uptime: optional(number),
});
/** A node of the cluster; sizes are bytes. */
export type Node = z.infer<typeof NODE>;

const SPACE = z.object({ total: number, used: number, free: optional(number), avail: optional(number) });
const NODE_STATUS = z.object({
  uptime: number,
  cpu: number,
  loadavg: listOf(number),
  cpuinfo: z.object({ cpus: number, cores: optional(number), sockets: optional(number), model: optional(text) }),
  memory: z.object({ total: number, used: number, free: number, available: optional(number) }),
  swap: optional(SPACE),
  rootfs: SPACE,
  kversion: optional(text),
  pveversion: text,
  'current-kernel': optional(z.object({ release: text, machine: optional(text) })),
});
/** The state of a node; sizes are bytes, `cpu` is a part of all CPUs. */
export type NodeStatus = z.infer<typeof NODE_STATUS>;

const VERSION = z.object({ version: text });

/** An upgrade of a node is noticed within so many milliseconds. */
const VERSION_MS = 300_000;

/** The cluster's nodes. Errors are those of `Api.call`. */
export class Nodes {
  readonly #api: Api;
  readonly #versions = new Map<string, { version: Version; until: number }>();

  constructor(api: Api) {
    this.#api = api;
  }

  list(options?: CallOptions): Promise<Node[]> {
    return this.#api.call({ method: 'GET', template: '/nodes' }, listOf(NODE), options);
  }

  /** Needs Sys.Audit on the node. */
  status(node: string, options?: CallOptions): Promise<NodeStatus> {
    return this.#api.call({ method: 'GET', template: '/nodes/{node}/status', at: { node } }, NODE_STATUS, options);
  }

  /** The version of Proxmox VE on a node, which may differ within a cluster; kept for five minutes. */
  async version(node: string, options?: CallOptions): Promise<Version> {
    const known = this.#versions.get(node);
    if (known && known.until > performance.now()) return known.version;
    const call = { method: 'GET', template: '/nodes/{node}/version', at: { node } } as const;
    const version = parseVersion((await this.#api.call(call, VERSION, options)).version);
    this.#versions.set(node, { version, until: performance.now() + VERSION_MS });
    return version;
  }
}
