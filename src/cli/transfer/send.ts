import { resolve as absolute } from 'node:path';
import { ImageServiceService, ImageStatusRequest } from '../../../api/gen/cri.ts';
import { SendRequest, type SendResponse, TransferService } from '../../../api/gen/proxmoxlxcri/v1/transfer.ts';
import { CriError, isNotFound, notFound, StatusCode } from '../../core/model/errors.ts';
import { resolve } from '../client/resolve.ts';
import type { ServerClient } from '../client/server.ts';
import { type CliContext, type Input, UsageError } from '../command.ts';
import { formatBytes } from '../output/units.ts';
import { writeAll } from '../output/write.ts';

/** Writes what the server sends of an image or a container to standard output, or lets it write a file. @throws UsageError, CriError */
export async function sendObject(context: CliContext, server: ServerClient, input: Input): Promise<void> {
  const [object = '', file] = input.args;
  if (file === undefined && context.stdout.isTTY === true) {
    throw new UsageError('standard output is a terminal; redirect it, or name a FILE');
  }
  const what = await find(server, object);
  const path = file === undefined ? '' : absolute(file);
  const request = SendRequest.create({ ...what, snapshot: input.text('snapshot') ?? '', path });
  const ended = new AbortController();
  try {
    for await (const { data, size } of server.stream(
      TransferService.send,
      request,
      ended.signal,
    ) as AsyncIterable<SendResponse>) {
      if (path !== '') context.stderr.write(`${formatBytes(size)} written\n`);
      else await writeAll(context.stdout, data);
      if (context.stdout.destroyed) throw new CriError(StatusCode.CANCELLED, 'the reader of standard output is gone');
    }
  } catch (error) {
    throw await server.explain(error);
  } finally {
    ended.abort();
  }
}

/** A container where there is one, else an image. */
async function find(server: ServerClient, object: string): Promise<{ containerId: string } | { image: string }> {
  try {
    return { containerId: (await resolve(server, object, ['container'])).id };
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
  const { image } = await server.call(
    ImageServiceService.imageStatus,
    ImageStatusRequest.create({ image: { image: object } }),
  );
  if (image === undefined) throw notFound('container or image', object);
  return { image: object };
}
