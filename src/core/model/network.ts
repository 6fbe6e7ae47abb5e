/** One port of the pod offered on the host. */
export interface PortMapping {
  hostIp: string;
  /** 1–65535. */
  hostPort: number;
  containerPort: number;
  protocol: 'tcp' | 'udp' | 'sctp';
}

export interface NetworkRequest {
  sandboxId: string;
  podName: string;
  podNamespace: string;
  podUid: string;
  /** Path of the network namespace; undefined for `detach` when it is gone. */
  netns: string | undefined;
  portMappings: PortMapping[];
  /** From the annotations kubernetes.io/ingress-bandwidth and egress-bandwidth, bits a second. */
  bandwidth?: { ingressRate?: number; egressRate?: number };
}

/** What `attach` did, kept in the record so that `detach` can undo exactly that, also after the configuration changed. */
export interface NetworkAttachment {
  /** Addresses without prefix length, the primary one first. */
  ips: string[];
  /** One entry per network, in the order attached. */
  networks: { ifName: string; conflist: string; result: string }[];
}

/** The pod network (CNI). */
export interface Network {
  /** Whether pods can be attached now; `reason` and `message` go to Status' NetworkReady condition. */
  readiness(): Promise<{ ready: boolean; reason: string; message: string }>;

  /**
   * Attaches the namespace to all configured networks. On failure everything attached so far is detached again.
   * `started` is called before the first plugin runs, with what a later `detach` needs if this process dies meanwhile.
   */
  attach(
    request: NetworkRequest & { netns: string },
    started: (intent: NetworkAttachment) => Promise<void>,
    signal?: AbortSignal,
  ): Promise<NetworkAttachment>;

  /** Detaches; no error when it was detached already or the namespace is gone. */
  detach(request: NetworkRequest, attachment: NetworkAttachment): Promise<void>;
}
