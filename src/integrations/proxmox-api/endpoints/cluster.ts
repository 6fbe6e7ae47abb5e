import * as z from 'zod';
import type { Api } from '../api.ts';
import type { CallOptions } from '../call.ts';
import { isKind } from '../errors/proxmox-error.ts';
import { boolean, listOf, number, optional, text, words } from '../lenient.ts';
import { parseVersion, type Version } from '../version.ts';

const VERSION = z.object({ version: text });

const MEMBER = z.object({
  type: z.enum(['cluster', 'node']),
  name: text,
  /** Of a node. */
  nodeid: optional(number),
  ip: optional(text),
  local: optional(boolean),
  online: optional(boolean),
  /** Of the cluster. */
  nodes: optional(number),
  quorate: optional(boolean),
  version: optional(number),
});
/** The cluster itself, or one of its nodes; a lone node has no entry of type `cluster`. */
export type ClusterMember = z.infer<typeof MEMBER>;

/** The lines of `corosync-qdevice-tool`; none where no QDevice runs. */
const QDEVICE = z.record(z.string(), z.unknown());

const RESOURCE = z.object({
  id: text,
  /** node, lxc, qemu, storage, pool, sdn, network, … */
  type: text,
  node: optional(text),
  vmid: optional(number),
  name: optional(text),
  /** Up to 10 s old; `unknown` while the node's pvestatd is silent. */
  status: optional(text),
  pool: optional(text),
  tags: words,
  template: optional(boolean),
  lock: optional(text),
  hastate: optional(text),
  storage: optional(text),
  shared: optional(boolean),
  plugintype: optional(text),
  content: words,
  cpu: optional(number),
  maxcpu: optional(number),
  mem: optional(number),
  maxmem: optional(number),
  disk: optional(number),
  maxdisk: optional(number),
  uptime: optional(number),
});
/** Something of the cluster, as its nodes last told each other. Sizes are bytes. */
export type Resource = z.infer<typeof RESOURCE>;

/** The cluster as a whole. Errors are those of `Api.call`. */
export class Cluster {
  readonly #api: Api;

  constructor(api: Api) {
    this.#api = api;
  }

  /** The version of the host that answers. */
  async version(options?: CallOptions): Promise<Version> {
    return parseVersion((await this.#api.call({ method: 'GET', template: '/version' }, VERSION, options)).version);
  }

  /** Needs Sys.Audit on `/`. */
  status(options?: CallOptions): Promise<ClusterMember[]> {
    return this.#api.call({ method: 'GET', template: '/cluster/status' }, listOf(MEMBER), options);
  }

  /** Whether the host that answers has a QDevice, whose vote counts as that of one more node. Needs Sys.Audit on `/`. */
  async hasQDevice(options?: CallOptions): Promise<boolean> {
    const call = { method: 'GET', template: '/cluster/config/qdevice' } as const;
    return Object.keys(await this.#api.call(call, QDEVICE, options)).length > 0;
  }

  /** What the caller may see, up to 10 s old: for the truth about a guest ask its status. */
  resources(type?: 'vm' | 'storage' | 'node' | 'sdn', options?: CallOptions): Promise<Resource[]> {
    const call = { method: 'GET', template: '/cluster/resources', params: { type } } as const;
    return this.#api.call(call, listOf(RESOURCE), options);
  }

  /** The lowest free VMID of the cluster's range; it is not reserved. @throws ProxmoxError exhausted without one. */
  nextId(options?: CallOptions): Promise<number> {
    return this.#api.call({ method: 'GET', template: '/cluster/nextid' }, number, options);
  }

  /** Whether no guest of the cluster has this VMID at the moment. */
  async isFree(vmid: number, options?: CallOptions): Promise<boolean> {
    try {
      await this.#api.call({ method: 'GET', template: '/cluster/nextid', params: { vmid } }, number, options);
      return true;
    } catch (error) {
      if (isKind(error, 'alreadyExists')) return false;
      throw error;
    }
  }
}
