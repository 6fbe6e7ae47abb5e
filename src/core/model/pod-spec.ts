import type { IdRange } from './id-range.ts';
import type { Bandwidth, DnsSettings, PortMapping } from './network.ts';
import type { ResourceLimits } from './resources.ts';
import type { NamespaceScope } from './sandbox-provider.ts';
import type { SelinuxLabel } from './security.ts';

/** The identity of a pod (CRI PodSandboxMetadata). */
export interface PodMetadata {
  name: string;
  namespace: string;
  uid: string;
  attempt: number;
}

/** The namespaces that a pod has. */
export interface PodNamespaces {
  network: 'pod' | 'node';
  ipc: 'pod' | 'node';
  /** `pod`: one for all containers; `container`: one each. */
  pid: NamespaceScope;
  /** The pod's own user namespace; absent: the node's. */
  user?: IdRange;
}

/**
 * A pod as requested, with every value validated. Its values are JSON values, so that a record can store it unchanged.
 */
export interface PodSpec {
  metadata: PodMetadata;
  labels: Record<string, string>;
  annotations: Record<string, string>;
  /** An RFC 1123 name of at most 64 characters; empty with the node's network, which comes with the node's name. */
  hostname: string;
  /** Absolute path of the directory of its containers' logs; empty: nothing is logged. */
  logDirectory: string;
  namespaces: PodNamespaces;
  /** Whether a container of it is privileged, as the kubelet says of the pod; absent: no. */
  privileged?: boolean;
  /** Kernel parameters of its own namespaces, named as `sysctlName` gives them. */
  sysctls: Record<string, string>;
  /** Those with a port on the host. */
  portMappings: PortMapping[];
  /** Absent: the node's. */
  dns?: DnsSettings;
  bandwidth?: Bandwidth;
  cgroupParent: {
    /** As requested; empty when absent. */
    asked: string;
    /** The absolute cgroup path below which the pod's cgroup is created. */
    path: string;
  };
  selinux?: SelinuxLabel;
  /** The overhead of the runtime for the pod, and the sum of its containers. */
  overhead?: ResourceLimits;
  resources?: ResourceLimits;
}
