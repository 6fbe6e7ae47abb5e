/** Settings of a node that a test may choose. */
export interface KubeletSettings {
  /** Merged into the kubelet's configuration, field by field. */
  kubelet?: Record<string, unknown>;
  /** Feature gates of the kubelet and, where it knows them, of the API server. */
  gates?: Record<string, boolean>;
}

/** Gates that a CRI server takes part in. */
export const GATES = {
  ContainerStopSignals: true,
  UserNamespacesHostNetworkSupport: true,
  ImageVolumeWithDigest: true,
  CRIListStreaming: true,
  PodAndContainerStatsFromCRI: true,
};

/**
 * The kubelet's configuration file (KubeletConfiguration v1beta1): never evicts, so that the machine's load decides nothing.
 * @param paths its directories and the socket of the server.
 * @param cluster what it needs to be a node of a cluster; undefined: a standalone kubelet, open to all on loopback.
 */
export function kubeletConfig(
  paths: { manifests: string; socket: string; plugins: string; cgroup: string },
  cluster: { ca: string; dns: string } | undefined,
  { kubelet = {}, gates = {} }: KubeletSettings,
): string {
  const none = '0%';
  const access = cluster
    ? {
        authentication: {
          anonymous: { enabled: false },
          webhook: { enabled: true },
          x509: { clientCAFile: cluster.ca },
        },
        authorization: { mode: 'Webhook' },
        clusterDNS: [cluster.dns],
        clusterDomain: 'cluster.local',
      }
    : {
        authentication: { anonymous: { enabled: true }, webhook: { enabled: false } },
        authorization: { mode: 'AlwaysAllow' },
        readOnlyPort: 10255,
      };
  return JSON.stringify({
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    staticPodPath: paths.manifests,
    containerRuntimeEndpoint: `unix://${paths.socket}`,
    volumePluginDir: paths.plugins,
    cgroupRoot: paths.cgroup,
    cgroupsPerQOS: true,
    enforceNodeAllocatable: ['pods'],
    failCgroupV1: false,
    failSwapOn: false,
    makeIPTablesUtilChains: false,
    fileCheckFrequency: '1s',
    syncFrequency: '10s',
    resolvConf: '/dev/null',
    maxPods: 250,
    registryPullQPS: 0,
    serializeImagePulls: false,
    kubeAPIQPS: 100,
    kubeAPIBurst: 200,
    eventRecordQPS: 0,
    evictionHard: {
      'memory.available': none,
      'nodefs.available': none,
      'nodefs.inodesFree': none,
      'imagefs.available': none,
      'imagefs.inodesFree': none,
    },
    featureGates: { ...GATES, ...gates },
    ...access,
    ...kubelet,
  });
}
