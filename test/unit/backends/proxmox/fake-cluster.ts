import { setImmediate } from 'node:timers/promises';
import type { GuestTracer, GuestTraces } from '../../../../src/backends/proxmox/guests/guest-traces.ts';

interface Leftovers {
  datasets?: string[];
  firewall?: boolean;
  highAvailability?: string[];
  tasks?: string[];
  units?: string[];
}

/** A cluster that knows of guests only who made which: two creates of one VMID are settled as Proxmox settles them. */
export class FakeCluster implements GuestTracer {
  readonly guests = new Map<number, { node: string; owner?: string; unfinished?: boolean }>();
  /** What is left of VMIDs without a guest. */
  readonly leftovers = new Map<number, Leftovers>();
  /** How often a VMID was refused. */
  refused = 0;

  /** Creates a guest after a while in which others may come first. */
  async create(vmid: number, guest: { node: string; owner?: string }): Promise<'created' | 'taken'> {
    await setImmediate();
    const taken = this.guests.has(vmid);
    if (taken) this.refused++;
    else this.guests.set(vmid, guest);
    await setImmediate();
    return taken ? 'taken' : 'created';
  }

  async tracesOf(vmid: number): Promise<GuestTraces> {
    const guest = this.guests.get(vmid);
    const left = this.leftovers.get(vmid) ?? {};
    const { datasets = [], firewall = false, highAvailability = [], tasks = [], units = [] } = left;
    await setImmediate();
    return { ...(guest !== undefined && { guest }), datasets, firewall, highAvailability, tasks, units };
  }
}
