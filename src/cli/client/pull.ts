import { ImageServiceService, ImageStatusRequest, PullImageRequest } from '../../../api/gen/cri.ts';
import { printable } from '../../core/logging/escape.ts';
import type { CliContext } from '../command.ts';
import { formatBytes } from '../output/units.ts';
import type { ServerClient } from './server.ts';

/**
 * Pulls an image. Writes a line to standard error at the start and one with size and duration at the end; CRI reports no
 * progress. @returns its id. @throws CriError
 */
export async function pullImage(
  context: CliContext,
  server: ServerClient,
  image: string,
  signal?: AbortSignal,
): Promise<string> {
  context.stderr.write(`Pulling ${printable(image)}\n`);
  const begin = performance.now();
  const options = { timeoutMs: 0, signal };
  const request = PullImageRequest.create({ image: { image } });
  const { imageRef } = await server.call(ImageServiceService.pullImage, request, options);
  const seconds = ((performance.now() - begin) / 1000).toFixed(1);
  const status = ImageStatusRequest.create({ image: { image: imageRef } });
  const { image: pulled } = await server.call(ImageServiceService.imageStatus, status, { signal });
  const size = pulled === undefined ? '' : `${formatBytes(pulled.size)} `;
  context.stderr.write(`Pulled ${printable(image)}: ${size}in ${seconds} s\n`);
  return imageRef;
}
