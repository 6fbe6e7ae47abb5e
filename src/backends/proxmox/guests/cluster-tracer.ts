import { CriError, StatusCode, unavailable } from '../../../core/model/errors.ts';
import type { TracesApi, MarkedConfig } from '../../proxmox-api.ts';
import type { GuestTracer, GuestTraces } from './guest-traces.ts';
import { ownerOf } from './owner-mark.ts';

/** Where disks of guests lie; a backup of an earlier guest hinders nobody. */
const DISKS = ['images', 'rootdir'];

/** Waits for a while until the units of systemd that ran a guest of the VMID on this node have ended; answers those that have not. */
export type EndOfUnits = (vmid: number) => Promise<string[]>;

/**
 * Looks for what is left of a VMID by the API: the guest in the whole cluster, running tasks, and without a guest volumes on
 * the active storages of the node, its firewall, and HA resources (which needs Sys.Audit on `/`). Units are of this node.
 */
export class ClusterTracer implements GuestTracer {
  readonly #api: TracesApi;
  readonly #node: string;
  readonly #storage: string;
  readonly #endOfUnits: EndOfUnits;

  /**
   * @param storage that of the disks of pods' guests: while its volumes cannot be seen, nothing is known of a VMID
   * @param endOfUnits those of the kind of pods' guests
   */
  constructor(api: TracesApi, node: string, storage: string, endOfUnits: EndOfUnits) {
    this.#api = api;
    this.#node = node;
    this.#storage = storage;
    this.#endOfUnits = endOfUnits;
  }

  /** @throws as the API: then nothing is known, and the VMID is not used. */
  async tracesOf(vmid: number): Promise<GuestTraces> {
    // Who works on the VMID is asked first: what its task leaves behind is seen by what is asked then.
    const tasks = await this.#tasks(vmid);
    const guest = await this.#guest(vmid);
    if (guest !== undefined) return { guest, datasets: [], firewall: false, highAvailability: [], tasks, units: [] };
    const [datasets, firewall, highAvailability, units] = await Promise.all([
      this.#volumes(vmid),
      this.#firewall(vmid),
      this.#highAvailability(vmid),
      this.#endOfUnits(vmid),
    ]);
    return { datasets, firewall, highAvailability, tasks, units };
  }

  async #guest(vmid: number): Promise<GuestTraces['guest']> {
    if (await this.#api.cluster.isFree(vmid)) return undefined;
    const own = await this.#guestOn(this.#node, vmid);
    if (own !== undefined) return own;
    const entry = (await this.#api.cluster.resources('vm')).find((resource) => resource.vmid === vmid);
    const elsewhere = entry?.node === undefined ? undefined : await this.#guestOn(entry.node, vmid);
    if (elsewhere !== undefined) return elsewhere;
    // It has ended meanwhile, has just come to another node, or may not be seen.
    return (await this.#api.cluster.isFree(vmid)) ? undefined : { node: 'another node' };
  }

  async #guestOn(node: string, vmid: number): Promise<GuestTraces['guest']> {
    for (const kind of ['lxc', 'qemu'] as const) {
      let config: MarkedConfig;
      try {
        config = await this.#api.guests.config({ kind, node, vmid });
      } catch (error) {
        const isUnseen = hasCode(error, StatusCode.NOT_FOUND) || hasCode(error, StatusCode.PERMISSION_DENIED);
        if (isUnseen) continue;
        throw error;
      }
      const owner = ownerOf(config.description);
      return { node, ...(owner !== undefined && { owner }), ...(config.lock === 'create' && { unfinished: true }) };
    }
    return undefined;
  }

  async #volumes(vmid: number): Promise<string[]> {
    const storages = (await this.#api.storages.list(this.#node, { enabled: true })).filter(
      ({ active, content }) => active === true && content.some((type) => DISKS.includes(type)),
    );
    if (!storages.some(({ storage }) => storage === this.#storage))
      throw unavailable(
        `storage ${this.#storage} is not active on node ${this.#node}: what it holds of VMID ${vmid} is unknown`,
      );
    const found = await Promise.all(
      storages.map(({ storage }) => this.#api.storages.content(this.#node, storage, { vmid })),
    );
    return found
      .flat()
      .filter(({ content = 'images' }) => DISKS.includes(content))
      .map(({ volid }) => volid);
  }

  /** Both kinds of guests have one file, which the API reads by the VMID alone. */
  async #firewall(vmid: number): Promise<boolean> {
    const ref = { kind: 'lxc', node: this.#node, vmid } as const;
    const { firewall } = this.#api;
    const [options, ...lists] = await Promise.all([
      firewall.options(ref),
      firewall.rules(ref),
      firewall.aliases(ref),
      firewall.ipsets(ref),
    ]);
    return lists.some((list) => list.length > 0) || Object.values(options).some((value) => value !== undefined);
  }

  async #highAvailability(vmid: number): Promise<string[]> {
    const all = await this.#api.ha.list();
    return all.map(({ sid }) => sid).filter((sid) => sid === `ct:${vmid}` || sid === `vm:${vmid}`);
  }

  async #tasks(vmid: number): Promise<string[]> {
    const { data } = await this.#api.tasks.list(this.#node, { source: 'active', vmid });
    return data.filter(({ endtime }) => endtime === undefined).map(({ upid }) => upid);
  }
}

function hasCode(error: unknown, code: StatusCode): boolean {
  return error instanceof CriError && error.code === code;
}
