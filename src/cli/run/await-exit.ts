import {
  ContainerState,
  type ContainerStatus,
  ContainerStatusRequest,
  GetEventsRequest,
  RuntimeServiceService,
} from '../../../api/gen/cri.ts';
import { notFound } from '../../core/model/errors.ts';
import type { ServerClient } from '../client/server.ts';
import { Waker } from '../waker.ts';

const POLL_WITH_EVENTS_MS = 5000;
const POLL_WITHOUT_EVENTS_MS = 200;

/**
 * Resolves with the status of a container once it has exited. It is requested on events of the server, and regularly where
 * the server has none. @throws CriError NOT_FOUND when the container was removed meanwhile, and the signal's reason.
 */
export async function awaitExit(server: ServerClient, id: string, signal: AbortSignal): Promise<ContainerStatus> {
  const done = new AbortController();
  const look = new Waker();
  let pollMs = POLL_WITH_EVENTS_MS;
  const events = server.stream(
    RuntimeServiceService.getContainerEvents,
    GetEventsRequest.create(),
    AbortSignal.any([done.signal, signal]),
  );
  events.on('data', ({ containerId }: { containerId: string }) => {
    if (containerId === id) look.wake();
  });
  const withoutEvents = () => {
    pollMs = POLL_WITHOUT_EVENTS_MS;
    look.wake();
  };
  events.on('error', withoutEvents);
  events.on('end', withoutEvents);
  const wake = () => {
    look.wake();
  };
  signal.addEventListener('abort', wake, { once: true });
  try {
    for (;;) {
      const request = ContainerStatusRequest.create({ containerId: id });
      const { status } = await server.call(RuntimeServiceService.containerStatus, request, { signal });
      if (status === undefined) throw notFound('container', id);
      if (status.state === ContainerState.CONTAINER_EXITED) return status;
      await look.pause(pollMs);
    }
  } finally {
    done.abort();
    signal.removeEventListener('abort', wake);
  }
}
