import { ImageServiceService, ImageStatusRequest } from '../../../api/gen/cri.ts';
import { CriError, StatusCode } from '../../core/model/errors.ts';
import { pullImage } from '../client/pull.ts';
import type { ServerClient } from '../client/server.ts';
import type { CliContext } from '../command.ts';

/** Makes sure that the server has an image. `policy`: always, missing or never. @throws CriError NOT_FOUND with never. */
export async function ensureImage(
  context: CliContext,
  server: ServerClient,
  image: string,
  policy: string,
  signal: AbortSignal,
): Promise<void> {
  if (policy !== 'always') {
    const request = ImageStatusRequest.create({ image: { image } });
    const found = await server.call(ImageServiceService.imageStatus, request, { signal });
    if (found.image !== undefined) return;
    if (policy === 'never') {
      throw new CriError(
        StatusCode.NOT_FOUND,
        `image ${JSON.stringify(image)} not found; pull it, or omit "--pull never"`,
      );
    }
  }
  await pullImage(context, server, image, { signal });
}
