/** What there is of a VMID in the cluster. */
export interface GuestTraces {
  /**
   * A guest of either kind on any node; `owner` is what its creator wrote into it as the pod's id, where that was us. One
   * that is `unfinished`, as Proxmox still makes it, does not say yet whose it is.
   */
  guest?: { node: string; owner?: string; unfinished?: boolean };
  /** Volumes named after the VMID, as the storage names them; this and the following of a VMID without a guest. */
  datasets: readonly string[];
  /** Whether the guest's firewall has a file, which Proxmox would apply to the next guest of the VMID. */
  firewall: boolean;
  /** HA resources, such as `ct:10000`; a rule without its resource rules nothing. */
  highAvailability: readonly string[];
  /** Tasks that work on a guest of the VMID, by their ids. */
  tasks: readonly string[];
  /** Units of systemd that still clean up after a guest of the VMID. */
  units: readonly string[];
}

/** Says what is left of a VMID; answers the state of the cluster, not of a cache. */
export interface GuestTracer {
  /** @throws when the cluster cannot say: then nothing is known, and the VMID is not used. */
  tracesOf(vmid: number): Promise<GuestTraces>;
}

/** The traces in words, none for a VMID that is free. */
export function describeTraces(traces: GuestTraces): string[] {
  const { guest, datasets, firewall, highAvailability, tasks, units } = traces;
  return [
    ...(guest === undefined ? [] : [`a guest on ${guest.node}`]),
    ...datasets.map((name) => `volume ${name}`),
    ...(firewall ? ['a firewall file'] : []),
    ...highAvailability.map((name) => `HA resource ${name}`),
    ...tasks.map((name) => `task ${name}`),
    ...units.map((name) => `unit ${name}`),
  ];
}

/** Whether the VMID is somebody else's: a whole guest that does not say it is this pod's, by one of its marks. */
export function isForeign({ guest }: GuestTraces, marks: readonly string[]): boolean {
  if (guest === undefined || (guest.owner !== undefined && marks.includes(guest.owner))) return false;
  return guest.owner !== undefined || guest.unfinished !== true;
}
