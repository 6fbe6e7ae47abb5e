import {
  type ContainerEventResponse,
  ContainerEventType,
  GetEventsRequest,
  ListContainersRequest,
  RuntimeServiceService,
} from '../../../api/gen/cri.ts';
import { printable } from '../../core/logging/escape.ts';
import type { CliContext, Input } from '../command.ts';
import { formatTime } from '../output/units.ts';
import { writeAll } from '../output/write.ts';
import { untilSignal } from '../until-signal.ts';
import type { ServerClient } from './server.ts';

const NAMES: Record<number, string> = {
  [ContainerEventType.CONTAINER_CREATED_EVENT]: 'created',
  [ContainerEventType.CONTAINER_STARTED_EVENT]: 'started',
  [ContainerEventType.CONTAINER_STOPPED_EVENT]: 'stopped',
  [ContainerEventType.CONTAINER_DELETED_EVENT]: 'deleted',
};

/** The printed form of an event. */
interface Line {
  time: string;
  event: string;
  kind: 'container' | 'pod';
  id: string;
  name: string;
  pod: string;
  namespace: string;
}

/** Prints new events of containers and pods, a line each, until a signal arrives. @throws CriError */
export async function followEvents(context: CliContext, server: ServerClient, input: Input): Promise<void> {
  const ended = new AbortController();
  void untilSignal(context).then(() => {
    ended.abort();
  });
  const events = server.stream(RuntimeServiceService.getContainerEvents, GetEventsRequest.create(), ended.signal);
  // A deleted container is not in its event.
  const names = new Map<string, string>();
  try {
    const { containers } = await server.call(RuntimeServiceService.listContainers, ListContainersRequest.create());
    for (const { id, metadata } of containers) names.set(id, metadata?.name ?? '');
    for await (const event of events as AsyncIterable<ContainerEventResponse>) {
      const line = lineOf(event, names);
      await writeAll(context.stdout, input.text('format') === 'json' ? `${JSON.stringify(line)}\n` : format(line));
    }
  } catch (error) {
    if (!ended.signal.aborted) throw await server.explain(error);
  }
}

/** The line of an event; `names` has the names of containers by id, and is kept current. */
function lineOf(event: ContainerEventResponse, names: Map<string, string>): Line {
  const { containerId, containerEventType, createdAt, podSandboxStatus } = event;
  const pod = podSandboxStatus?.metadata;
  for (const { id, metadata } of event.containersStatuses) names.set(id, metadata?.name ?? '');
  const containerName = names.get(containerId);
  if (containerEventType === ContainerEventType.CONTAINER_DELETED_EVENT) names.delete(containerId);
  const kind = podSandboxStatus?.id === containerId ? 'pod' : 'container';
  return {
    time: formatTime(createdAt),
    event: NAMES[containerEventType] ?? String(containerEventType),
    kind,
    id: containerId,
    name: (kind === 'pod' ? pod?.name : containerName) ?? '',
    pod: pod?.name ?? '',
    namespace: pod?.namespace ?? '',
  };
}

function format({ time, event, kind, id, name, pod, namespace }: Line): string {
  const of = kind === 'pod' ? '' : ` pod=${namespace}/${pod}`;
  return `${time} ${kind} ${event} ${id} ${printable(`name=${name}${of}`)}\n`;
}
