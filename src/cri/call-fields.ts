import type { ContainerService } from '../core/lifecycle/containers/container-service.ts';
import type { PodService } from '../core/lifecycle/pods/pod-service.ts';

/** The objects of an RPC in its log line: one set of keys for all modules. */
export interface CallFields {
  podSandboxId?: string;
  /** `namespace/name` of the pod. */
  pod?: string;
  podUid?: string;
  podAttempt?: number;
  handler?: string;
  /** What chose the handler, in RunPodSandbox. */
  handlerChosenBy?: string;
  containerId?: string;
  /** The container's name in its pod. */
  container?: string;
  containerAttempt?: number;
  image?: string;
  /** The image's digest or id. */
  imageRef?: string;
  /** Of a container's root filesystem. */
  snapshot?: string;
  /** Milliseconds that the container was frozen. */
  frozenMs?: number;
}

/** Reads the objects of an RPC from its messages and from the records. Nothing else of a request is logged: it may have secrets. */
export interface CallDescriber {
  /** Before the RPC: a removed object has no record afterwards. */
  ofRequest(request: unknown): CallFields;
  /** After success: ids and digests of the response. */
  ofResponse(response: unknown): CallFields;
}

/** A describer that looks up objects by id in the services. */
export function callDescriber(
  pods: Pick<PodService, 'list'>,
  containers: Pick<ContainerService, 'list'>,
): CallDescriber {
  const ofPod = (id: string): CallFields => {
    const record = pods.list().find((one) => one.id === id);
    if (record === undefined) return { podSandboxId: id };
    return { ...podFields(record.spec.metadata), podSandboxId: record.id, handler: record.handler };
  };
  const ofNewPod = (id: string): CallFields => {
    const chosenBy = pods.list().find((one) => one.id === id)?.handlerChosenBy;
    return { ...ofPod(id), ...(chosenBy !== undefined && { handlerChosenBy: chosenBy }) };
  };
  const ofContainer = (id: string): CallFields => {
    const record = containers.list().find((one) => one.id === id);
    if (record === undefined) return { containerId: id };
    return { ...ofPod(record.sandboxId), ...containerFields(record.spec), containerId: record.id };
  };
  return {
    ofRequest: (request) => {
      const { podSandboxId, containerId, runtimeHandler, config, image } = objectOf(request);
      const fields: CallFields = {};
      if (isText(podSandboxId)) Object.assign(fields, ofPod(podSandboxId));
      if (isText(containerId)) Object.assign(fields, ofContainer(containerId));
      if (isText(runtimeHandler)) fields.handler = runtimeHandler;
      if (config !== undefined) {
        const isPod = !isText(podSandboxId);
        Object.assign(fields, isPod ? podFields(objectOf(config)['metadata']) : containerFields(config));
      }
      const name = isText(image) ? image : objectOf(image)['image'];
      return isText(name) ? { ...fields, image: name } : fields;
    },
    ofResponse: (response) => {
      const { podSandboxId, containerId, imageRef, snapshot, frozenMs } = objectOf(response);
      const snapshotName = objectOf(snapshot)['name'];
      return {
        ...(isText(podSandboxId) && ofNewPod(podSandboxId)),
        ...(isText(containerId) && ofContainer(containerId)),
        ...(isText(imageRef) && { imageRef }),
        ...(isText(snapshotName) && { snapshot: snapshotName }),
        ...(typeof frozenMs === 'number' && { frozenMs }),
      };
    },
  };
}

function podFields(metadata: unknown): CallFields {
  const { namespace, name, uid, attempt } = objectOf(metadata);
  return {
    ...(isText(name) && { pod: `${isText(namespace) ? namespace : ''}/${name}` }),
    ...(isText(uid) && { podUid: uid }),
    ...(typeof attempt === 'number' && { podAttempt: attempt }),
  };
}

function containerFields(config: unknown): CallFields {
  const { metadata, image } = objectOf(config);
  const { name, attempt } = objectOf(metadata);
  // The field is `image` in a request, `name` in a record.
  const { image: asked, name: stored } = objectOf(image);
  const imageName = asked ?? stored;
  return {
    ...(isText(name) && { container: name }),
    ...(typeof attempt === 'number' && { containerAttempt: attempt }),
    ...(isText(imageName) && { image: imageName }),
  };
}

function objectOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '';
}
