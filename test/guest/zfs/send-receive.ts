import {
  ReceiveRequest,
  type ReceiveResponse,
  SendRequest,
  TransferService,
} from '../../../api/gen/proxmoxlxcri/v1/transfer.ts';
import type { ServerClient } from '../../../src/cli/client/server.ts';

/** Lets the server write an image or a container to a new file on its host. @throws CriError */
export async function sendToFile(
  client: ServerClient,
  what: { image: string } | { containerId: string },
  path: string,
  signal = new AbortController().signal,
): Promise<void> {
  const messages = client.stream(TransferService.send, SendRequest.create({ ...what, path }), signal);
  try {
    await messages.toArray();
  } catch (error) {
    throw await client.explain(error);
  }
}

/** Lets the server make an image of a file on its host. @param name "": its own names. @throws CriError */
export function receiveFile(client: ServerClient, path: string, name = ''): Promise<ReceiveResponse> {
  const requests = async function* () {
    yield await Promise.resolve(ReceiveRequest.create({ name, path }));
  };
  return client.upload(TransferService.receive, requests());
}
