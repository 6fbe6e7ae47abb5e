import type { NetworkPool } from './network-pool.ts';

/** One port of the pod that is mapped on the host. */
export interface PortMapping {
  hostIp: string;
  /** 1–65535. */
  hostPort: number;
  containerPort: number;
  protocol: 'tcp' | 'udp' | 'sctp';
}

/** Limits of a pod's traffic, bits a second; absent: none. */
export interface Bandwidth {
  ingressRate?: number;
  egressRate?: number;
}

/** Resolver settings of a pod (resolv.conf(5)). */
export interface DnsSettings {
  servers: string[];
  searches: string[];
  options: string[];
}

export interface NetworkRequest {
  sandboxId: string;
  podName: string;
  podNamespace: string;
  podUid: string;
  /** Path of the pod's network namespace on this host; undefined when it does not exist, or belongs to another kernel. */
  netns: string | undefined;
  portMappings: PortMapping[];
  /** From the annotations kubernetes.io/ingress-bandwidth and egress-bandwidth, bits a second. */
  bandwidth?: Bandwidth;
  /** The pod's resolver settings; undefined: the node's. */
  dns?: DnsSettings;
  /** CRI's cgroup_parent, unchanged; empty when absent. */
  cgroupParent: string;
  annotations: Record<string, string>;
}

/** The attachment, stored in the record so that `detach` can release exactly it, also after the configuration changed. */
export interface NetworkAttachment {
  /** Addresses without prefix length, the primary one first. */
  ips: string[];
  /** One entry per network of CNI, in the order attached; none for others. `result` is empty while the outcome is not known. */
  networks: { ifName: string; conflist: string; result: string }[];
  /** Of one that was made ahead of its pod: the container id its plugins know, and the path of its namespace until the pod has it. */
  prepared?: { id: string; namespace: string };
}

/** The id that plugins know an attachment by. */
export function attachmentId(sandboxId: string, { prepared }: NetworkAttachment): string {
  return prepared?.id ?? sandboxId;
}

/** Whether pods can be attached; `reason` and `message` go to Status' NetworkReady condition. */
export interface NetworkReadiness {
  ready: boolean;
  reason: string;
  message: string;
}

/** Connects pods and assigns their addresses. */
export interface Network {
  /** Networks that are prepared ahead of their pods, where it can prepare some. */
  readonly pool?: NetworkPool;

  /** Whether the configuration exists and its plugins report that they are ready. */
  readiness(): Promise<NetworkReadiness>;

  /** What the network is configured with, a JSON value for verbose Status. Never fails: a broken one is in `readiness`. */
  describe(): Promise<Record<string, unknown>>;

  /**
   * Attaches the namespace to all configured networks. Before each one, `progress` is called with the input of `detach`, which
   * releases them when this call fails or this process dies; it is not rolled back here. When `signal` fires,
   * the running call is cancelled. @throws CriError UNAVAILABLE; the signal's reason.
   * @param claimed of the pool, with the pod's namespace in the request: only what the pod asks of its network is added.
   */
  attach(
    request: NetworkRequest,
    progress: (soFar: NetworkAttachment) => Promise<void>,
    signal?: AbortSignal,
    claimed?: NetworkAttachment,
  ): Promise<NetworkAttachment>;

  /**
   * Detaches; no error when it was detached already or the namespace is gone. Host ports are free when it returns, and no other
   * pod gets the addresses before they are released; the release itself may follow, once it is durable that it has to.
   */
  detach(request: NetworkRequest, attachment: NetworkAttachment): Promise<void>;

  /** Runs CHECK of the plugins on an attachment; a `detach` of the pod ends it. @throws CriError UNAVAILABLE with the problem. */
  check(request: NetworkRequest, attachment: NetworkAttachment): Promise<void>;

  /**
   * Runs GC of the plugins. `valid` is called when no `attach` runs, and returns every attachment that exists or is about to be
   * released.
   */
  collectGarbage(valid: () => Iterable<{ sandboxId: string; attachment: NetworkAttachment }>): Promise<void>;

  /**
   * Sets the address ranges of this node's pods (CIDR), the primary one first. With a template, the network's configuration is
   * written from it. @throws CriError FAILED_PRECONDITION when the template or its target cannot be used.
   */
  setPodRanges(ranges: readonly string[]): Promise<void>;
}
