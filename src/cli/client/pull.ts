import {
  ImageServiceService,
  ImageStatusRequest,
  ImageStoreService,
  PullImageRequest,
  PullRequest,
  type PullResponse,
} from '../../../api/gen/cri.ts';
import { printable } from '../../core/logging/escape.ts';
import { CriError, StatusCode } from '../../core/model/errors.ts';
import type { CliContext } from '../command.ts';
import { LayerLines } from '../output/layer-lines.ts';
import { formatBytes } from '../output/units.ts';
import type { ServerClient } from './server.ts';

/**
 * Pulls an image. Unless `quiet`, writes to standard error: a line at the start, the progress of the layers, and a line with
 * size and duration at the end. @returns its id. `signal` cancels the pull. @throws CriError
 */
export async function pullImage(
  context: CliContext,
  server: ServerClient,
  image: string,
  { signal, quiet = false }: { signal?: AbortSignal; quiet?: boolean } = {},
): Promise<string> {
  if (quiet) return pull(server, image, signal);
  context.stderr.write(`Pulling ${printable(image)}\n`);
  const begin = performance.now();
  const imageId = await pull(server, image, signal, new LayerLines(context.stderr));
  const seconds = ((performance.now() - begin) / 1000).toFixed(1);
  const status = ImageStatusRequest.create({ image: { image: imageId } });
  const { image: pulled } = await server.call(ImageServiceService.imageStatus, status, { signal });
  const size = pulled === undefined ? '' : `${formatBytes(pulled.size)} `;
  context.stderr.write(`Pulled ${printable(image)}: ${size}in ${seconds} s\n`);
  return imageId;
}

/** The server's own call reports progress. A server of an earlier version has only CRI's. */
async function pull(
  server: ServerClient,
  image: string,
  signal: AbortSignal = new AbortController().signal,
  lines?: LayerLines,
): Promise<string> {
  signal.throwIfAborted();
  let id = '';
  try {
    const responses = server.stream(ImageStoreService.pull, PullRequest.create({ image }), signal);
    for await (const { layers, imageId } of responses as AsyncIterable<PullResponse>) {
      lines?.update(layers);
      id = imageId;
    }
  } catch (error) {
    const explained = await server.explain(error);
    if (!(explained instanceof CriError) || explained.code !== StatusCode.UNIMPLEMENTED) throw explained;
    const request = PullImageRequest.create({ image: { image } });
    ({ imageRef: id } = await server.call(ImageServiceService.pullImage, request, { timeoutMs: 0, signal }));
  }
  if (id === '') throw new CriError(StatusCode.INTERNAL, 'the server ended the pull without a result');
  return id;
}
