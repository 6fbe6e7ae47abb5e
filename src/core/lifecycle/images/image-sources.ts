import { CriError, invalidArgument, StatusCode } from '../../model/errors.ts';
import type { Credentials, ImageReference, ImageSource, SourceImage } from '../../model/image.ts';

/** All image sources as one. */
export class ImageSources {
  readonly #sources: readonly ImageSource[];

  /** @param sources in the order in which they are tried. */
  constructor(sources: readonly ImageSource[]) {
    this.#sources = sources;
  }

  /** The image of the first source that has it. @throws what the first source throws when none has. */
  async resolve(
    reference: ImageReference,
    credentials: Credentials | undefined,
    signal: AbortSignal | undefined,
  ): Promise<SourceImage> {
    let first: Error | undefined;
    for (const source of this.#sources) {
      try {
        const found = await source.resolve?.(reference, credentials, signal);
        if (found) return found;
      } catch (error) {
        signal?.throwIfAborted();
        first ??= error as Error;
        // Not found or unavailable: another source may have it. Every other error concerns the image.
        if (!isElsewhere(error)) throw first;
      }
    }
    if (first !== undefined) throw first;
    throw new CriError(StatusCode.NOT_FOUND, 'no image source for names is configured');
  }

  /** The images in a file or directory, by the first source that reads its kind. @throws CriError INVALID_ARGUMENT when none does. */
  async open(path: string, signal: AbortSignal | undefined): Promise<SourceImage[]> {
    for (const source of this.#sources) {
      const images = await source.open?.(path, signal);
      if (images) return images;
    }
    throw invalidArgument('path', `${JSON.stringify(path)} is not an image archive, layout or root filesystem`);
  }
}

function isElsewhere(error: unknown): boolean {
  return error instanceof CriError && (error.code === StatusCode.NOT_FOUND || error.code === StatusCode.UNKNOWN);
}
