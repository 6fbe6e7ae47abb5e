/** A guest by its kind, node and VMID. */
interface Ref {
  kind: 'lxc' | 'qemu';
  node: string;
  vmid: number;
}

/** What of a guest's configuration says whose it is. */
export interface MarkedConfig {
  description: string | undefined;
  /** `create` while it is being made. */
  lock: string | undefined;
}

/**
 * The part of the Proxmox API that shows what there is of a VMID; the client of `integrations/proxmox-api` fits. Its errors
 * have the codes of the catalogue: NOT_FOUND for a guest that is not on the node.
 */
export interface TracesApi {
  cluster: {
    isFree: (vmid: number) => Promise<boolean>;
    /** Up to 10 s old. */
    resources: (type: 'vm') => Promise<readonly { vmid?: number | undefined; node?: string | undefined }[]>;
  };
  guests: { config: (ref: Ref) => Promise<MarkedConfig> };
  tasks: {
    list: (
      node: string,
      filter: { source: 'active'; vmid: number },
    ) => Promise<{ data: readonly { upid: string; endtime?: number | undefined }[] }>;
  };
  storages: {
    list: (
      node: string,
      filter: { enabled: true },
    ) => Promise<readonly { storage: string; active?: boolean | undefined; content: readonly string[] }[]>;
    content: (
      node: string,
      storage: string,
      filter: { vmid: number },
    ) => Promise<readonly { volid: string; content?: string | undefined }[]>;
  };
  firewall: {
    options: (ref: Ref) => Promise<object>;
    rules: (ref: Ref) => Promise<readonly unknown[]>;
    aliases: (ref: Ref) => Promise<readonly unknown[]>;
    ipsets: (ref: Ref) => Promise<readonly unknown[]>;
  };
  ha: { list: () => Promise<readonly { sid: string }[]> };
}

/** The part that makes guests, as {@link TracesApi}; ALREADY_EXISTS for a VMID that is taken. */
export interface CreateApi<Task> {
  guests: {
    /** Reserves the VMID, and answers the task that makes the guest. */
    create: (ref: Ref, settings: Readonly<Record<string, string | number | boolean | undefined>>) => Promise<Task>;
  };
  tasks: { follow: (task: Task, options: { signal?: AbortSignal | undefined }) => Promise<unknown> };
  recheck: {
    /** What came of a create whose outcome is unknown, once no task works on it any more. */
    created: (
      ref: Ref,
      isOurs: (config: MarkedConfig) => boolean,
    ) => Promise<'done' | 'notDone' | 'foreign' | 'incomplete'>;
  };
}
