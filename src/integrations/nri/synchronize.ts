import { PluginService, SynchronizeRequest } from '../../../api/gen/nri.ts';
import type { Container, ContainerUpdate, PodSandbox } from '../../../api/gen/nri.ts';
import { failedPrecondition } from '../../core/model/errors.ts';
import type { PluginConnection } from './plugin-connection.ts';

/** Bytes of a message, with room for what is around it in the 4 MiB of a frame. */
const MESSAGE_BYTES = 4 * 1024 * 1024 - 4096;

/**
 * Gives a plugin all pods and containers: in one message where they fit, which every plugin takes.
 * @returns what the plugin wants to change about them.
 * @throws RemoteError, LostCallError, CriError FAILED_PRECONDITION for a plugin that takes only one message.
 */
export async function synchronize(
  plugin: PluginConnection,
  pods: readonly PodSandbox[],
  containers: readonly Container[],
  timeoutMs: number,
): Promise<ContainerUpdate[]> {
  const messages = [...split(pods, containers)];
  for (const [index, message] of messages.entries()) {
    const more = index < messages.length - 1;
    const response = await plugin.call(PluginService.synchronize, { ...message, more }, timeoutMs);
    if (!more) return response.update;
    if (!response.more)
      throw failedPrecondition('the plugin does not take the pods and containers in more than one message');
  }
  return [];
}

/** Messages that fit, in order; at least one. An object that fits into none is in a message of its own. */
export function* split(
  pods: readonly PodSandbox[],
  containers: readonly Container[],
  most = MESSAGE_BYTES,
): Generator<SynchronizeRequest> {
  const empty = () => SynchronizeRequest.create({});
  let message = empty();
  let bytes = 0;
  const objects = [
    ...pods.map((pod): Partial<SynchronizeRequest> => ({ pods: [pod] })),
    ...containers.map((container): Partial<SynchronizeRequest> => ({ containers: [container] })),
  ];
  for (const object of objects) {
    const { length } = SynchronizeRequest.encode(SynchronizeRequest.create(object)).finish();
    if (bytes > 0 && bytes + length > most) {
      yield message;
      [message, bytes] = [empty(), 0];
    }
    message.pods.push(...(object.pods ?? []));
    message.containers.push(...(object.containers ?? []));
    bytes += length;
  }
  yield message;
}
