import type { IdRange } from './id-range.ts';
import type { ResourceUsage } from './resource-usage.ts';
import type { ResourceLimits } from './resources.ts';

/** Whose namespace a pod or container uses: its own pod's, a fresh one a container, or the node's. */
export type NamespaceScope = 'pod' | 'container' | 'node';

/**
 * What a provider must know to make a sandbox, and to find it again: it is derived from the record alone, so that the
 * same values come out after a restart.
 */
export interface SandboxSpec {
  /** 64 hexadecimal digits. */
  id: string;
  /** An RFC 1123 name of at most 64 characters; empty with the node's UTS namespace (host network). */
  hostname: string;
  network: 'pod' | 'node';
  ipc: 'pod' | 'node';
  /** `pod`: one PID namespace for all containers, held by the sandbox. */
  pid: NamespaceScope;
  /** The pod's own user namespace, which owns its other namespaces; absent: the node's. */
  userNamespace?: IdRange;
  /** Namespaced kernel parameters, named as `sysctlName` gives them; already checked to belong to a namespace that the pod owns. */
  sysctls: Record<string, string>;
  /** The cgroup under which the pod's own is made, absolute below the hierarchy's root: `/kubepods/burstable/pod…`. */
  cgroupParent: string;
  /** A folder of this sandbox alone, mode 0700, on a file system that a reboot empties. It exists. */
  runDir: string;
}

/**
 * Where the containers of a running sandbox go. Paths are valid where the container runner runs: on this host, or inside
 * the VM. A namespace that is absent is the node's (network, ipc, uts, user) or a container's own (pid).
 */
export interface Placement {
  namespaces: { network?: string; ipc?: string; uts?: string; pid?: string; user?: string };
  /** The sandbox's cgroup; containers live in `<cgroup>/<container id>`. */
  cgroup: string;
  /** The cgroup for the containers' monitors, outside `cgroup`, so that ending the pod does not end those who report it. */
  monitorCgroup: string;
}

/** What a handler can do, told in Status.runtime_handlers. */
export interface HandlerFeatures {
  recursiveReadOnlyMounts: boolean;
  userNamespaces: boolean;
}

/**
 * What a provider itself must know to find a sandbox again, whatever the configuration has become: where its files are, a
 * guest's number, a task under way. A JSON value that only the provider reads; the record keeps it.
 */
export type SandboxHandle = Readonly<Record<string, unknown>>;

/** A sandbox as its record knows it. `handle` is what {@link SandboxProvider.create} reported last; absent: nothing was made. */
export interface SandboxReference {
  spec: SandboxSpec;
  handle?: SandboxHandle;
}

/** The limits of a whole pod, as they hold from now on; absent: none was told. */
export interface SandboxLimits {
  /** What the pod needs beside its containers (the RuntimeClass's overhead). */
  overhead?: ResourceLimits;
  /** Of the pod with its containers. */
  resources?: ResourceLimits;
}

/** How a sandbox stands. */
export type SandboxStatus =
  | { state: 'running'; placement: Placement }
  /** `reason`: why it does not run, for people. `networkNamespace`: the path of its own while that exists. */
  | { state: 'ended'; reason: string; networkNamespace?: string };

/**
 * Says what a pod is for one handler: a controller of sandboxes. Every call may be repeated, and may follow one that was cut
 * off anywhere.
 */
export interface SandboxProvider {
  /** The RuntimeClass handler it serves. */
  readonly handler: string;
  readonly features: HandlerFeatures;

  /** Why the provider cannot work on this machine (a missing program, …), or undefined when it can. */
  unavailableBecause(): Promise<string | undefined>;

  /**
   * Prepares a sandbox; nothing runs yet. `progress` is awaited with the handle before anything is made, and again
   * whenever it changes, before the provider waits for anything: from then on {@link remove} can undo it, whether this call
   * fails or this process dies. A `signal` that fires ends what is waited for.
   * @throws CriError INVALID_ARGUMENT for a value it cannot pass on safely, UNAVAILABLE, INTERNAL; the signal's reason.
   */
  create(
    spec: SandboxSpec,
    progress: (handle: SandboxHandle) => Promise<void>,
    signal?: AbortSignal,
  ): Promise<SandboxReference>;

  /**
   * Starts what was created: namespaces and cgroup exist when it returns, the network namespace has its loopback up and
   * nothing else. No effect when it runs. A `signal` that fires ends what is waited for; what a failure leaves, {@link remove}
   * removes.
   * @throws CriError INVALID_ARGUMENT for a kernel parameter that the kernel refuses, UNAVAILABLE, INTERNAL; the signal's reason.
   */
  start(sandbox: SandboxReference, signal?: AbortSignal): Promise<Placement>;

  /** Looks at a sandbox that an earlier process made, and keeps its status from then on. */
  adopt(sandbox: SandboxReference): Promise<SandboxStatus>;

  /**
   * The status of a sandbox that was started or adopted, kept true by events: nothing is asked for. One that the provider
   * does not follow has ended.
   */
  status(sandbox: SandboxReference): SandboxStatus;

  /** Facts for people in PodSandboxStatus(verbose).info; values are JSON-serialisable. */
  describe(sandbox: SandboxReference): Promise<Record<string, unknown>>;

  /**
   * What a running sandbox uses as a whole, its containers and pause process included; undefined when nothing is known.
   * @throws CriError UNAVAILABLE.
   */
  usage(sandbox: SandboxReference): Promise<ResourceUsage | undefined>;

  /**
   * Changes the limits of a running sandbox. One whose pod is a cgroup below the kubelet's own has nothing to do: the kubelet
   * has written the limits there, and they must not be written twice. One whose pod is a guest changes the guest's.
   * @throws CriError UNAVAILABLE, INVALID_ARGUMENT for limits that it cannot have.
   */
  update(sandbox: SandboxReference, limits: SandboxLimits): Promise<void>;

  /** Ends the sandbox and whatever still runs in it. No error when it has ended already. */
  stop(sandbox: SandboxReference): Promise<void>;

  /** Stops it and removes all that is left of it: cgroups, files outside `runDir`, pinned namespaces. No error when nothing is left. */
  remove(sandbox: SandboxReference): Promise<void>;

  /**
   * Ends and removes a sandbox of which only the id is known, because {@link list} gave it and no record has it: what a
   * crash between making it and recording it left. No error when nothing is left.
   */
  discard(sandboxId: string): Promise<void>;

  /** Ids of sandboxes this provider has on the machine below its own state, whether or not a record knows them. */
  list(): Promise<string[]>;

  /**
   * Calls `listener` when a sandbox that was started or adopted ends by itself; its status tells of the end by then.
   * Returns the unsubscriber.
   */
  onExit(listener: (sandboxId: string, reason: string) => void): () => void;
}
