import { resolve as absolute } from 'node:path';
import { ReceiveRequest, TransferService } from '../../../api/gen/proxmoxlxcri/v1/transfer.ts';
import type { ServerClient } from '../client/server.ts';
import { type CliContext, type Input, UsageError } from '../command.ts';
import { formatJson } from '../output/json.ts';

/** Bytes of a message. */
const PART = 1_048_576;

/** Lets the server receive from standard input or a file, and prints the id and the names of the image. @throws UsageError, CriError */
export async function receiveImage(context: CliContext, server: ServerClient, input: Input): Promise<void> {
  const [file] = input.args;
  const stdin = file === undefined ? context.stdin() : undefined;
  if (stdin?.isTTY === true) throw new UsageError('standard input is a terminal; redirect it, or name a FILE');
  const first = { name: input.text('name') ?? '', path: file === undefined ? '' : absolute(file) };
  async function* requests() {
    yield ReceiveRequest.create(first);
    for await (const chunk of (stdin ?? []) as AsyncIterable<Buffer>) {
      for (let at = 0; at < chunk.length; at += PART)
        yield ReceiveRequest.create({ data: chunk.subarray(at, at + PART) });
    }
  }
  const response = await server.upload(TransferService.receive, requests());
  if (input.text('output') === 'json') context.stdout.write(formatJson(response));
  else context.stdout.write([response.imageId, ...response.names].map((line) => `${line}\n`).join(''));
}
