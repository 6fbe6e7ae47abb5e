import type { NetworkRequest } from '../../model/network.ts';
import { ownAnnotations } from '../../model/own-annotations.ts';
import type { SandboxRecord } from '../../model/sandbox.ts';
import type { SandboxReference, SandboxSpec, SandboxStatus } from '../../model/sandbox-provider.ts';

/** The sandbox for its provider, derived from the record only. */
export function sandboxReference(record: SandboxRecord, runDir: string): SandboxReference {
  return { spec: sandboxSpec(record, runDir), ...(record.handle !== undefined && { handle: record.handle }) };
}

/** The spec for the provider, derived from the record only. */
export function sandboxSpec({ id, spec, network }: SandboxRecord, runDir: string): SandboxSpec {
  const { user, ...namespaces } = spec.namespaces;
  const { bandwidth, portMappings } = spec;
  return {
    id,
    pod: spec.metadata,
    annotations: ownAnnotations(spec.annotations),
    hostname: spec.hostname,
    ...namespaces,
    ...(bandwidth !== undefined && { bandwidth }),
    ...(portMappings.length > 0 && { portMappings }),
    ...(network?.prepared !== undefined && { networkNamespace: network.prepared.namespace }),
    ...(user !== undefined && { userNamespace: user }),
    sysctls: spec.sysctls,
    cgroupParent: spec.cgroupParent.path,
    runDir,
  };
}

/** The path of a sandbox's own network namespace while there is one, whether it runs or has ended. */
export function networkNamespace(status: SandboxStatus): string | undefined {
  return status.state === 'running' ? status.placement.namespaces.network : status.networkNamespace;
}

/** The request to the network. */
export function networkRequest({ id, spec }: SandboxRecord, netns: string | undefined): NetworkRequest {
  const { metadata, bandwidth, dns } = spec;
  return {
    sandboxId: id,
    podName: metadata.name,
    podNamespace: metadata.namespace,
    podUid: metadata.uid,
    netns,
    ...(bandwidth !== undefined && { bandwidth }),
    portMappings: spec.portMappings,
    ...(dns !== undefined && { dns }),
    cgroupParent: spec.cgroupParent.asked,
    annotations: spec.annotations,
  };
}
