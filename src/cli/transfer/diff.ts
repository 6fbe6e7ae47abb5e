import { isUtf8 } from 'node:buffer';
import {
  type Change,
  ChangeKind,
  DiffRequest,
  type DiffResponse,
  TransferService,
} from '../../../api/gen/proxmoxlxcri/v1/transfer.ts';
import { resolve } from '../client/resolve.ts';
import type { ServerClient } from '../client/server.ts';
import type { CliContext, Input } from '../command.ts';
import { pathText } from '../output/path-text.ts';
import { writeAll } from '../output/write.ts';

const LETTERS: Record<number, string> = {
  [ChangeKind.CHANGE_KIND_ADDED]: 'A',
  [ChangeKind.CHANGE_KIND_MODIFIED]: 'C',
  [ChangeKind.CHANGE_KIND_DELETED]: 'D',
};

/** Prints what a container has changed, a line each, as they arrive. @throws CriError */
export async function showDiff(context: CliContext, server: ServerClient, input: Input): Promise<void> {
  const { id: containerId } = await resolve(server, input.args[0] ?? '', ['container']);
  const ended = new AbortController();
  const asJson = input.text('output') === 'json';
  let count = 0;
  const format = (change: Change) => {
    if (!asJson) return `${LETTERS[change.kind] ?? '?'} ${pathText(change.path)}\n`;
    return `${count++ === 0 ? '[\n' : ',\n'}  ${JSON.stringify(jsonOf(change))}`;
  };
  try {
    const responses = server.stream(TransferService.diff, DiffRequest.create({ containerId }), ended.signal);
    for await (const { changes } of responses as AsyncIterable<DiffResponse>) {
      await writeAll(context.stdout, changes.map(format).join(''));
    }
  } catch (error) {
    throw await server.explain(error);
  } finally {
    ended.abort();
  }
  if (asJson) await writeAll(context.stdout, count === 0 ? '[]\n' : '\n]\n');
}

/** Other programs need the bytes of a name that is no text. */
function jsonOf({ kind, path }: Change) {
  const base64 = isUtf8(path) ? {} : { pathBase64: path.toString('base64') };
  return { kind: LETTERS[kind] ?? '?', path: path.toString('utf8'), ...base64 };
}
