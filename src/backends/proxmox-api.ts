/** A guest by its kind, node and VMID. */
export interface GuestRef {
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

/** A guest's configuration as far as this server reads it. */
export interface GuestConfig extends MarkedConfig {
  /** The `lxc.*` keys of its file. */
  raw: readonly (readonly [key: string, value: string])[];
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
  guests: { config: (ref: GuestRef) => Promise<MarkedConfig> };
  tasks: {
    list: (
      node: string,
      filter: { source: 'active' | 'all'; vmid: number; typefilter?: string; since?: number },
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
    options: (ref: GuestRef) => Promise<object>;
    rules: (ref: GuestRef) => Promise<readonly unknown[]>;
    aliases: (ref: GuestRef) => Promise<readonly unknown[]>;
    ipsets: (ref: GuestRef) => Promise<readonly unknown[]>;
  };
  ha: { list: () => Promise<readonly { sid: string }[]> };
}

/** The part that makes guests, as {@link TracesApi}; ALREADY_EXISTS for a VMID that is taken. */
export interface CreateApi<Task> {
  guests: {
    /** Reserves the VMID, and answers the task that makes the guest. */
    create: (ref: GuestRef, settings: Readonly<Record<string, string | number | boolean | undefined>>) => Promise<Task>;
  };
  tasks: {
    follow: (
      task: Task,
      options: { signal?: AbortSignal | undefined } & Readonly<Record<'leastMs' | 'firstMs', number>>,
    ) => Promise<unknown>;
  };
  recheck: {
    /**
     * What came of a create whose outcome is unknown, once no task has worked on it for so many milliseconds; by default, as
     * long as a request may take to have an effect.
     */
    created: (
      ref: GuestRef,
      isOurs: (config: MarkedConfig) => boolean,
      options: { settleMs?: number | undefined },
    ) => Promise<Verdict>;
  };
}

type Verdict = 'done' | 'notDone' | 'foreign' | 'incomplete';

/** The definition of a storage. */
export interface StorageConfig {
  storage: string;
  type: string;
  /** Where its files are, on every node that has it. */
  path?: string | undefined;
  content: readonly string[];
  /** The nodes that have it; absent for all. */
  nodes?: readonly string[] | undefined;
  disable?: boolean | undefined;
}

/** What the handlers whose pods are guests need of the API, as {@link TracesApi}. */
export interface GuestsApi<Task> extends TracesApi, CreateApi<Task> {
  cluster: TracesApi['cluster'] & {
    /** The members; `quorate` is that of the cluster, of which a node alone has none. */
    status: () => Promise<readonly { quorate?: boolean | undefined }[]>;
  };
  guests: CreateApi<Task>['guests'] & {
    config: (ref: GuestRef) => Promise<GuestConfig>;
    start: (ref: GuestRef) => Promise<Task>;
    configure: (ref: GuestRef, change: { set: Readonly<Record<string, string | number>> }) => Promise<void>;
    delete: (
      ref: GuestRef,
      options: { force: boolean; purge: boolean; destroyUnreferencedDisks: boolean },
    ) => Promise<Task>;
  };
  tasks: TracesApi['tasks'] & CreateApi<Task>['tasks'];
  firewall: TracesApi['firewall'] & {
    configure: (ref: GuestRef, set: Readonly<Record<string, string | number>>) => Promise<void>;
    /** Adds a rule before all others; `action` of a group is its name. */
    addRule: (ref: GuestRef, rule: { type: 'group'; action: string; enable: number }) => Promise<void>;
  };
  recheck: CreateApi<Task>['recheck'] & Record<'started' | 'deleted', (ref: GuestRef) => Promise<Verdict>>;
  storages: TracesApi['storages'] & {
    configs: () => Promise<readonly StorageConfig[]>;
  };
}
