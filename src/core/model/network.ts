/** One port of the pod offered on the host. */
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

/** A pod's own resolver settings (resolv.conf(5)). */
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
  /** Path of the pod's network namespace on this host; undefined when it is gone, or is another kernel's. */
  netns: string | undefined;
  portMappings: PortMapping[];
  /** From the annotations kubernetes.io/ingress-bandwidth and egress-bandwidth, bits a second. */
  bandwidth?: Bandwidth;
  /** The pod's own resolver settings; undefined where it has the node's. */
  dns?: DnsSettings;
  /** CRI's cgroup_parent as it came; empty when none was named. */
  cgroupParent: string;
  annotations: Record<string, string>;
}

/** What `attach` did, kept in the record so that `detach` can undo exactly that, also after the configuration changed. */
export interface NetworkAttachment {
  /** Addresses without prefix length, the primary one first. */
  ips: string[];
  /** One entry per network, in the order attached. `result` is empty while the outcome is not known. */
  networks: { ifName: string; conflist: string; result: string }[];
}

/** Whether pods can be attached; `reason` and `message` go to Status' NetworkReady condition. */
export interface NetworkReadiness {
  ready: boolean;
  reason: string;
  message: string;
}

/** What connects pods and gives them addresses. */
export interface Network {
  /** What holds now: the configuration is there, and its plugins say that they take pods. */
  readiness(): Promise<NetworkReadiness>;

  /**
   * Attaches the namespace to all configured networks. `progress` is called before each one with what `detach` needs from
   * then on, whether this call fails or this process dies: what has been begun is not undone here. When `signal` fires,
   * what is at work is ended. @throws CriError UNAVAILABLE; the signal's reason.
   */
  attach(
    request: NetworkRequest,
    progress: (soFar: NetworkAttachment) => Promise<void>,
    signal?: AbortSignal,
  ): Promise<NetworkAttachment>;

  /** Detaches; no error when it was detached already or the namespace is gone. */
  detach(request: NetworkRequest, attachment: NetworkAttachment): Promise<void>;

  /** Asks the plugins whether an attachment is still as they made it. @throws CriError UNAVAILABLE with what is amiss. */
  check(request: NetworkRequest, attachment: NetworkAttachment): Promise<void>;

  /**
   * Lets the plugins free what belongs to no attachment. `valid` is called when no `attach` runs, and names every one that
   * exists or is about to be given back.
   */
  collectGarbage(valid: () => Iterable<{ sandboxId: string; attachment: NetworkAttachment }>): Promise<void>;

  /**
   * Tells the address ranges of this node's pods (CIDR), the primary one first. Where the operator has a template, the
   * network's configuration is made from it. @throws CriError FAILED_PRECONDITION when the template or its target cannot be used.
   */
  setPodRanges(ranges: readonly string[]): Promise<void>;
}
