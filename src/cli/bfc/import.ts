import { resolve } from 'node:path';
import {
  ImageStoreService,
  type ImportResponse,
  ImportWithProgressRequest,
  type ImportWithProgressResponse,
} from '../../../api/gen/cri.ts';
import { CriError, StatusCode } from '../../core/model/errors.ts';
import type { FileSecret } from '../../core/model/file-secret.ts';
import type { ServerClient } from '../client/server.ts';
import type { CliContext, Input } from '../command.ts';
import { formatJson } from '../output/json.ts';
import { formatBytes } from '../output/units.ts';
import { aboutFile } from './about-file.ts';
import { secretFor } from './secrets.ts';
import { withProgress } from './work.ts';

const REMEDIES = { key: '--key-file', password: '--password-file, --password-fd or a terminal' } as const;

/** Lets the server import the images of a BFC file, and prints their ids and names. @throws UsageError, CriError */
export async function importFile(context: CliContext, server: ServerClient, input: Input): Promise<void> {
  const path = resolve(input.args[0] ?? '');
  const { ask, isGiven } = await secretFor(context, input, { asks: true });
  const encryption = await (await context.bfcFiles()).encryptionOf(path);
  const request = { path, reference: input.text('name') ?? '', image: input.text('image') ?? '' };
  const run = (secret: FileSecret | undefined) => importWith(context, server, request, secret);
  if (encryption === 'none') return print(context, input, await run(undefined));
  try {
    print(context, input, await run(isGiven ? await ask(path, encryption) : undefined));
  } catch (error) {
    // The server may have the key: only when it has not, a password is asked for.
    if (isGiven || !(error instanceof CriError) || error.code !== StatusCode.PERMISSION_DENIED) throw error;
    const typed = await ask(path, encryption);
    if (typed === undefined) throw new CriError(error.code, `${error.message}; or use ${REMEDIES[encryption]}`);
    print(context, input, await run(typed));
  }
}

interface Imported {
  response: ImportResponse;
  bytes: bigint;
  seconds: number;
}

async function importWith(
  context: CliContext,
  server: ServerClient,
  request: Pick<ImportWithProgressRequest, 'path' | 'reference' | 'image'>,
  secret: FileSecret | undefined,
): Promise<Imported> {
  const password = secret?.kind === 'password' ? secret.password : Buffer.alloc(0);
  const key = secret?.kind === 'key' ? secret.key : Buffer.alloc(0);
  let last: ImportWithProgressResponse | undefined;
  const { seconds } = await withProgress(context, async ({ signal, progress }) => {
    const message = ImportWithProgressRequest.create({ ...request, password, key });
    try {
      signal.throwIfAborted();
      const steps = server.stream(ImageStoreService.importWithProgress, message, signal);
      for await (const step of steps as AsyncIterable<ImportWithProgressResponse>) {
        last = step;
        progress(Number(step.done), Number(step.total));
      }
    } catch (error) {
      signal.throwIfAborted();
      throw aboutFile(request.path, await server.explain(error));
    }
  });
  if (last?.result === undefined)
    throw new CriError(StatusCode.INTERNAL, 'the server ended the import without a result');
  return { response: last.result, bytes: last.total, seconds };
}

function print(context: CliContext, input: Input, { response, bytes, seconds }: Imported): void {
  if (input.has('json')) context.stdout.write(formatJson(response));
  else context.stdout.write([...response.imageIds, ...response.names].map((line) => `${line}\n`).join(''));
  context.stderr.write(`Imported ${formatBytes(bytes)} in ${seconds.toFixed(1)} s\n`);
}
