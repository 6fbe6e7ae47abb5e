import { ContainerEventType } from '../../../api/gen/cri.ts';
import type { ContainerEventResponse, RuntimeServiceService } from '../../../api/gen/cri.ts';
import type { ContainerEvent, ContainerEventKind } from '../../core/lifecycle/events/event-hub.ts';
import type { Handlers } from '../handlers.ts';
import { toPodSandboxStatus } from '../map/sandbox.ts';
import { statusesOf } from './services.ts';
import type { Services } from './services.ts';

const TYPE: Record<ContainerEventKind, ContainerEventType> = {
  created: ContainerEventType.CONTAINER_CREATED_EVENT,
  started: ContainerEventType.CONTAINER_STARTED_EVENT,
  stopped: ContainerEventType.CONTAINER_STOPPED_EVENT,
  deleted: ContainerEventType.CONTAINER_DELETED_EVENT,
};

/** GetContainerEvents: new events, each with the current status of the whole pod. */
export function eventCalls(services: Services): Handlers<typeof RuntimeServiceService> {
  return {
    getContainerEvents: (_request, { signal }) =>
      services.events.stream((event) => toResponse(services, event), signal, weightOf),
  };
}

/** An event holds the status of each container of its pod, some kilobytes: four of them weigh as much as an event alone. */
function weightOf({ containersStatuses }: ContainerEventResponse): number {
  return 1 + containersStatuses.length / 4;
}

function toResponse(services: Services, event: ContainerEvent): ContainerEventResponse {
  const pod = services.pods.list().find((record) => record.id === event.sandboxId) ?? event.sandbox;
  return {
    containerId: event.containerId,
    containerEventType: TYPE[event.kind],
    createdAt: event.at,
    podSandboxStatus: pod === undefined ? undefined : toPodSandboxStatus(pod),
    containersStatuses: statusesOf(services, event.sandboxId),
  };
}
