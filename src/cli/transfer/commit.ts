import { CommitRequest, TransferService } from '../../../api/gen/proxmoxlxcri/v1/transfer.ts';
import { resolve } from '../client/resolve.ts';
import type { ServerClient } from '../client/server.ts';
import type { CliContext, Input } from '../command.ts';

/** Lets the server make an image of a container, and prints its id. @throws CriError */
export async function commitContainer(context: CliContext, server: ServerClient, input: Input): Promise<void> {
  const [container = '', name = ''] = input.args;
  const { id: containerId } = await resolve(server, container, ['container']);
  const request = CommitRequest.create({
    containerId,
    name,
    changes: [...input.list('change')],
    author: input.text('author') ?? '',
    message: input.text('message') ?? '',
    noPause: input.has('no-pause'),
  });
  const { imageId } = await server.call(TransferService.commit, request, { timeoutMs: 0 });
  context.stdout.write(`${imageId}\n`);
}
