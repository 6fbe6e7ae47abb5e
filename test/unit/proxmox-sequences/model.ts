import type { GuestKind } from '../../../src/integrations/proxmox-api/guests/guest.ts';

/** A guest as the model has it, and as the client's and the node's views are written down. */
export interface Guest {
  kind: GuestKind;
  node: string;
  vmid: number;
  /** Its notes; undefined for one that was never finished. */
  mark: string | undefined;
  memory: number | undefined;
  running: boolean;
  lock: string | undefined;
  snapshots: string[];
}

/** One operation of the client. `serial` makes its marks, names and values those of this attempt alone. */
export interface Operation {
  name: 'create' | 'clone' | 'config' | 'start' | 'stop' | 'shutdown' | 'snapshot' | 'delete';
  kind: GuestKind;
  node: string;
  vmid: number;
  /** Of a clone. */
  newid: number;
  /** Of a delete. */
  force: boolean;
  serial: number;
}

/** What the client says of an operation; `refused` and all that follows it mean that nothing was done. */
export type Outcome = 'done' | 'incomplete' | 'refused' | 'notDone' | 'foreign';

/** What somebody else does to a guest. */
export interface Disturbance {
  name: 'edit' | 'remove' | 'crash' | 'unlock';
  vmid: number;
  memory: number;
}

/** The guests of the cluster, as plain as can be: what the client was told decides. */
export class Model {
  readonly guests = new Map<number, Guest>();
  /** Guests of which a failed delete may have taken disks. */
  readonly #damaged = new Set<number>();

  /** Whether parts of the guest may be missing: it was never finished, or half deleted. */
  isDamaged(vmid: number): boolean {
    const guest = this.guests.get(vmid);
    return this.#damaged.has(vmid) || (guest !== undefined && guest.mark === undefined);
  }

  /** The guest that the operation names, where it names the right node and kind. */
  target({ kind, node, vmid }: Pick<Operation, 'kind' | 'node' | 'vmid'>): Guest | undefined {
    const guest = this.guests.get(vmid);
    return guest?.kind === kind && guest.node === node ? guest : undefined;
  }

  /** Whether the operation succeeds while nothing disturbs it. */
  allows(operation: Operation): boolean {
    const { name, vmid, newid, force, kind } = operation;
    if (name === 'create') return !this.guests.has(vmid);
    const guest = this.target(operation);
    if (guest === undefined) return false;
    const { running, lock } = guest;
    // A virtual machine that does not run is shut down without a look at its lock.
    if (name === 'shutdown' && kind === 'qemu' && !running) return true;
    if (lock !== undefined) return false;
    if (name === 'start') return !running;
    if (name === 'stop' || name === 'shutdown') return running || kind === 'qemu';
    if (name === 'delete') return !running || (kind === 'lxc' && force);
    if (name === 'clone') return !this.guests.has(newid) && !(running && kind === 'lxc');
    return true;
  }

  /** What the operation leads to. `memory` is that of a clone's source when the clone began. */
  apply(operation: Operation, outcome: Outcome, memory: number | undefined): void {
    const { name, kind, node, vmid, newid, serial } = operation;
    if (name === 'create' || name === 'clone') {
      const made = name === 'create' ? vmid : newid;
      const [mark, size] = outcome === 'done' ? [`guest ${serial}`, memory] : [undefined, undefined];
      const lock = outcome === 'incomplete' ? 'create' : undefined;
      const isNew = outcome === 'done' || (outcome === 'incomplete' && !this.guests.has(made));
      if (!isNew) return;
      this.guests.set(made, { kind, node, vmid: made, mark, memory: size, running: false, lock, snapshots: [] });
      const source = this.guests.get(vmid);
      // A container is locked while it is copied, and stays so when the copying ends amid.
      if (name === 'clone' && kind === 'lxc' && lock !== undefined && source !== undefined) source.lock = 'disk';
      return;
    }
    const guest = this.target(operation);
    if (guest === undefined) return;
    if (name === 'delete' && outcome === 'notDone') this.#damaged.add(vmid);
    if (outcome !== 'done') return;
    if (name === 'delete') this.#forget(vmid);
    else if (name === 'config') guest.memory = serial;
    else if (name === 'snapshot') guest.snapshots.push(`s${serial}`);
    else guest.running = name === 'start';
  }

  disturb({ name, vmid, memory }: Disturbance): void {
    const guest = this.guests.get(vmid);
    if (guest === undefined) return;
    if (name === 'remove') this.#forget(vmid);
    else if (name === 'crash') guest.running = false;
    else if (name === 'unlock') guest.lock = undefined;
    else guest.memory = memory;
  }

  /** All guests by VMID, to be compared. */
  view(): Guest[] {
    return [...this.guests.values()].sort((a, b) => a.vmid - b.vmid);
  }

  #forget(vmid: number): void {
    this.guests.delete(vmid);
    this.#damaged.delete(vmid);
  }
}
