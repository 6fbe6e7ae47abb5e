import { CriError, invalidArgument, StatusCode } from '../../model/errors.ts';
import type { Credentials, ImageReference, ImageSource, SourceImage } from '../../model/image.ts';

/** All places that images come from, as one. */
export class ImageSources {
  readonly #sources: readonly ImageSource[];

  /** @param sources in the order in which they are asked. */
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
        // Not here, or nobody answers: another one may have it. Everything else is about this very image.
        if (!isElsewhere(error)) throw first;
      }
    }
    if (first !== undefined) throw first;
    throw new CriError(StatusCode.NOT_FOUND, 'no source of images is configured that knows names');
  }

  /** The images in a file or directory, by the first source that reads its kind. @throws CriError INVALID_ARGUMENT when none does. */
  async open(path: string, signal: AbortSignal | undefined): Promise<SourceImage[]> {
    for (const source of this.#sources) {
      const images = await source.open?.(path, signal);
      if (images) return images;
    }
    throw invalidArgument('path', `${JSON.stringify(path)} is of no kind that holds images`);
  }
}

function isElsewhere(error: unknown): boolean {
  return error instanceof CriError && (error.code === StatusCode.NOT_FOUND || error.code === StatusCode.UNKNOWN);
}
