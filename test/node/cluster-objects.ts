/** A RuntimeClass for each handler, with its name. */
export function runtimeClasses(handlers: readonly string[]): object[] {
  return handlers.map((handler) => ({
    apiVersion: 'node.k8s.io/v1',
    kind: 'RuntimeClass',
    metadata: { name: handler },
    handler,
  }));
}

/** CoreDNS as a process of the node, behind a Service of its own; its objects and its Corefile. */
export function coreDns(
  node: string,
  service: string,
  kubeconfig: string,
): { objects: object[]; configuration: string } {
  const metadata = { name: 'kube-dns', namespace: 'kube-system', labels: { 'k8s-app': 'kube-dns' } };
  const ports = ['UDP', 'TCP'].map((protocol) => ({ name: `dns-${protocol.toLowerCase()}`, port: 53, protocol }));
  return {
    objects: [
      { apiVersion: 'v1', kind: 'Service', metadata, spec: { clusterIP: service, ports } },
      {
        apiVersion: 'discovery.k8s.io/v1',
        kind: 'EndpointSlice',
        metadata: { ...metadata, labels: { 'kubernetes.io/service-name': 'kube-dns' } },
        addressType: 'IPv4',
        endpoints: [{ addresses: [node], conditions: { ready: true } }],
        ports,
      },
    ],
    configuration: `.:53 {
  bind ${node}
  errors
  kubernetes cluster.local in-addr.arpa ip6.arpa {
    kubeconfig ${kubeconfig} node
    pods insecure
    fallthrough in-addr.arpa ip6.arpa
  }
  cache 5
}
`,
  };
}
