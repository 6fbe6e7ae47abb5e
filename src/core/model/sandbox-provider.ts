import type { IdRange } from './id-range.ts';
import type { Bandwidth, PortMapping } from './network.ts';
import type { PodMetadata } from './pod-spec.ts';
import type { SandboxUsage } from './resource-usage.ts';
import type { ResourceLimits } from './resources.ts';
import type { WarmPool } from './warm-pool.ts';

/** The scope of a namespace: one per pod, one per container, or the node's. */
export type NamespaceScope = 'pod' | 'container' | 'node';

/**
 * The input of a provider to create a sandbox and to find it again, derived from the record only, so that the values are the
 * same after a restart.
 */
export interface SandboxSpec {
  /** 64 hexadecimal digits. */
  id: string;
  /** Whose sandbox it is, for people who look at the node. */
  pod: PodMetadata;
  /** The pod's annotations of `ownAnnotations`, for a provider that reads settings from them. */
  annotations: Record<string, string>;
  /** An RFC 1123 name of at most 64 characters; empty with the node's UTS namespace (host network). */
  hostname: string;
  network: 'pod' | 'node';
  /** What the pod asks of its network, for a provider that makes the network with the sandbox; absent: nothing. */
  bandwidth?: Bandwidth;
  portMappings?: PortMapping[];
  /** Path of an existing network namespace that the sandbox joins when it starts; absent: it gets one of its own. */
  networkNamespace?: string;
  ipc: 'pod' | 'node';
  /** `pod`: one PID namespace for all containers, owned by the sandbox. */
  pid: NamespaceScope;
  /** The pod's own user namespace, which owns its other namespaces; absent: the node's. */
  userNamespace?: IdRange;
  /** Namespaced kernel parameters, with names of `sysctlName`; validated to belong to a namespace that the pod owns. */
  sysctls: Record<string, string>;
  /** The cgroup under which the pod's own is made, absolute below the hierarchy's root: `/kubepods/burstable/pod…`. */
  cgroupParent: string;
  /** The existing directory of this sandbox, mode 0700, on a filesystem that a reboot empties. */
  runDir: string;
}

/**
 * The namespaces and cgroups for the containers of a running sandbox. Paths are valid where the container runner runs: on this
 * host, or inside the VM. An absent namespace is the node's (network, ipc, uts, user) or the container's (pid).
 */
export interface Placement {
  namespaces: { network?: string; ipc?: string; uts?: string; pid?: string; user?: string };
  /** The sandbox's cgroup; containers live in `<cgroup>/<container id>`. */
  cgroup: string;
  /** The cgroup for the containers' monitors, outside `cgroup`, so that they survive the pod and report its exits. */
  monitorCgroup: string;
  /** VMID of the Proxmox guest that the sandbox is. */
  guest?: number;
}

/** Features of a handler, for Status.runtime_handlers. */
export interface HandlerFeatures {
  recursiveReadOnlyMounts: boolean;
  userNamespaces: boolean;
}

/**
 * The provider's durable handle of a sandbox, independent of configuration changes: paths of files, a guest's VMID, a running
 * task. A JSON value that only the provider reads; the record stores it.
 */
export type SandboxHandle = Readonly<Record<string, unknown>>;

/** A sandbox in its record. `handle` is the last one that {@link SandboxProvider.create} reported; absent: nothing was created. */
export interface SandboxReference {
  spec: SandboxSpec;
  handle?: SandboxHandle;
}

/** The limits of a whole pod from now on; absent: never set. */
export interface SandboxLimits {
  /** What the pod needs beside its containers (the RuntimeClass's overhead). */
  overhead?: ResourceLimits;
  /** Of the pod with its containers. */
  resources?: ResourceLimits;
}

/** Status of a sandbox. */
export type SandboxStatus =
  | { state: 'running'; placement: Placement }
  /** `reason`: why it is not running, for people. `networkNamespace`: path of its network namespace while it exists. */
  | { state: 'ended'; reason: string; networkNamespace?: string };

/**
 * Implements the sandboxes of one handler. Every call may be repeated, and may follow one that was interrupted at any point.
 */
export interface SandboxProvider {
  /** The RuntimeClass handler it serves. */
  readonly handler: string;
  readonly features: HandlerFeatures;
  /** Whether its sandboxes can join a network namespace that exists (`SandboxSpec.networkNamespace`); absent: no. */
  readonly joinsNetworks?: boolean;
  /** Sandboxes that are started ahead of their pods, for a provider that has such. */
  readonly warmPool?: WarmPool | undefined;

  /** The reason why the provider cannot work on this machine (a missing program, …), or undefined. */
  unavailableBecause(): Promise<string | undefined>;

  /**
   * Prepares a sandbox; nothing runs yet. `progress` is awaited with the handle before the first object is created, and on each
   * change before the provider waits: from then on {@link remove} can remove it, even when this call fails or this process
   * dies. A `signal` that fires ends what is waited for.
   * @throws CriError INVALID_ARGUMENT for a value that it cannot pass on safely, UNAVAILABLE, INTERNAL; the signal's reason.
   */
  create(
    spec: SandboxSpec,
    progress: (handle: SandboxHandle) => Promise<void>,
    signal?: AbortSignal,
  ): Promise<SandboxReference>;

  /**
   * Starts a created sandbox: namespaces and cgroup exist when it returns, the network namespace has its loopback up and
   * nothing else. No effect when it runs. A `signal` that fires ends what is waited for; what a failure leaves, {@link remove}
   * removes.
   * @throws CriError INVALID_ARGUMENT for a kernel parameter that the kernel refuses, UNAVAILABLE, INTERNAL; the signal's reason.
   */
  start(sandbox: SandboxReference, signal?: AbortSignal): Promise<Placement>;

  /** Adopts a sandbox of an earlier process, and tracks its status from then on. */
  adopt(sandbox: SandboxReference): Promise<SandboxStatus>;

  /**
   * The status of a started or adopted sandbox, kept up to date by events; no call is made. A sandbox that the provider does not
   * track has ended.
   */
  status(sandbox: SandboxReference): SandboxStatus;

  /**
   * Verbose information for PodSandboxStatus.info, from this machine alone; values are JSON-serializable. A guest of Proxmox VE has
   * its `vmid` and `node`, and `origin` where it was not made for the pod.
   */
  describe(sandbox: SandboxReference): Promise<Record<string, unknown>>;

  /**
   * What a running sandbox uses as a whole, its containers and pause process included; walks no tree.
   * @throws CriError UNAVAILABLE.
   */
  usage(sandbox: SandboxReference): Promise<SandboxUsage>;

  /**
   * Changes the limits of a running sandbox. One whose pod is a cgroup below the kubelet's own has nothing to do: the kubelet
   * has written the limits there, and they must not be written twice. One whose pod is a guest changes the guest's.
   * @throws CriError UNAVAILABLE, INVALID_ARGUMENT for limits that it cannot have.
   */
  update(sandbox: SandboxReference, limits: SandboxLimits): Promise<void>;

  /**
   * Ends all processes of the sandbox before {@link stop}, while its network is released; has no effect where only they hold its
   * network namespace. Absent for a provider whose network ends with its processes. No error when it has ended.
   */
  end?(sandbox: SandboxReference): Promise<void>;

  /** Stops the sandbox and all its processes. No error when it has ended. */
  stop(sandbox: SandboxReference): Promise<void>;

  /** Stops it and removes its cgroups, files outside `runDir` and pinned namespaces. No error when there are none. */
  remove(sandbox: SandboxReference): Promise<void>;

  /**
   * Removes what a sandbox of an earlier boot still has outside this machine, such as a guest that nobody may start again; absent for
   * a provider whose sandboxes end with the boot. {@link remove} removes the rest. No error when there is nothing.
   * @throws CriError as {@link remove}: the call is repeated.
   */
  release?(sandbox: SandboxReference): Promise<void>;

  /**
   * Stops and removes an orphaned sandbox of which only the id of {@link list} is known, such as after a crash before the record
   * was written. No error when there is none.
   */
  discard(sandboxId: string): Promise<void>;

  /** Ids of all sandboxes of this provider below its state directory, with or without a record. */
  list(): Promise<string[]>;

  /**
   * Calls `listener` when a started or adopted sandbox ends by itself; its status is `ended` by then.
   * Returns the unsubscriber.
   */
  onExit(listener: (sandboxId: string, reason: string) => void): () => void;
}
