import { mkdtemp, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { ExportRequest, ImageStoreService } from '../../../api/gen/cri.ts';
import { printable, quoted } from '../../core/logging/escape.ts';
import { CriError, isNotFound, StatusCode } from '../../core/model/errors.ts';
import { messageOf } from '../../utils/errors.ts';
import { connectServer } from '../client/connect.ts';
import type { CliContext, Input } from '../command.ts';
import { aboutFile } from './about-file.ts';

/** Where what is large and not encrypted is put for a while: neither in memory, nor on the medium of the BFC file. */
export function temporaryPlace({ env }: CliContext): string {
  const given = env['TMPDIR'] ?? '';
  return given === '' ? '/var/tmp' : resolve(given);
}

/**
 * Lets the server write an image of its store into an archive in the {@link temporaryPlace}, and works with it. The archive is removed at
 * the end of the work, or earlier by its function `remove`.
 * @throws CriError, of the server or when there is no place for it; the signal's reason.
 */
export async function withExported<T>(
  context: CliContext,
  input: Input,
  { image, signal }: { image: string; signal: AbortSignal },
  work: (archive: string, remove: () => Promise<void>) => Promise<T>,
): Promise<T> {
  const top = temporaryPlace(context);
  let place: string;
  try {
    place = await mkdtemp(join(top, 'bfc-'));
  } catch (error) {
    throw new CriError(
      StatusCode.INVALID_ARGUMENT,
      `${quoted(top)}: has no place for the image: ${messageOf(error)}; set TMPDIR to another directory`,
    );
  }
  try {
    const archive = join(place, 'image.tar');
    using server = await connectServer(context, input);
    context.stderr.write(`Exporting ${printable(image)}\n`);
    const request = ExportRequest.create({ image, path: archive });
    try {
      await server.call(ImageStoreService.export, request, { timeoutMs: 0, signal });
    } catch (error) {
      signal.throwIfAborted();
      throw isNotFound(error) ? error : aboutFile(archive, error);
    }
    return await work(archive, () => rm(archive, { force: true }));
  } finally {
    // A server whose call was cancelled may still be writing there.
    await rm(place, { recursive: true, force: true, maxRetries: 5 });
  }
}
