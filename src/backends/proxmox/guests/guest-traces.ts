/** What there is of a VMID in the cluster. */
export interface GuestTraces {
  /** A guest of either kind on any node; `owner` is what its creator wrote into it as the pod's id, where that was us. */
  guest?: { node: string; owner?: string };
  /** Volumes named after the VMID, as the storage names them. */
  datasets: readonly string[];
  /** Whether the guest's firewall has a file, which Proxmox would apply to the next guest of the VMID. */
  firewall: boolean;
  /** HA resources and their rules, such as `ct:10000`. */
  highAvailability: readonly string[];
}

/** Says what is left of a VMID; answers the state of the cluster, not of a cache. */
export interface GuestTracer {
  /** @throws when the cluster cannot say: then nothing is known, and the VMID is not used. */
  tracesOf(vmid: number): Promise<GuestTraces>;
}

/** The traces in words, none for a VMID that is free. */
export function describeTraces(traces: GuestTraces): string[] {
  const { guest, datasets, firewall, highAvailability } = traces;
  return [
    ...(guest === undefined ? [] : [`a guest on ${guest.node}`]),
    ...datasets.map((name) => `volume ${name}`),
    ...(firewall ? ['a firewall file'] : []),
    ...highAvailability.map((name) => `HA resource ${name}`),
  ];
}

/** Whether the VMID is somebody else's: a guest that does not say it is this pod's. */
export function isForeign(traces: GuestTraces, owner: string): boolean {
  return traces.guest !== undefined && traces.guest.owner !== owner;
}
