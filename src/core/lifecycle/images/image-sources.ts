import { CriError, invalidArgument, StatusCode } from '../../model/errors.ts';
import type { FileSecret } from '../../model/file-secret.ts';
import {
  type Credentials,
  type ImageReference,
  type ImageSource,
  NotProvidedError,
  type SourceImage,
} from '../../model/image.ts';

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
    const notes: NotProvidedError[] = [];
    for (const source of this.#sources) {
      try {
        const found = await source.resolve?.(reference, credentials, signal);
        if (found) return found;
      } catch (error) {
        signal?.throwIfAborted();
        if (error instanceof NotProvidedError) {
          notes.push(error);
          continue;
        }
        first ??= error as Error;
        // Not found or unavailable: another source may have it. Every other error concerns the image.
        if (!isElsewhere(error)) break;
      }
    }
    first ??= notes.shift() ?? new CriError(StatusCode.NOT_FOUND, 'no image source for names is configured');
    if (notes.length === 0 || !(first instanceof CriError)) throw first;
    throw new CriError(first.code, [first, ...notes].map(({ message }) => message).join('; '), { cause: first });
  }

  /** The image of an address. @throws what its source throws; CriError INVALID_ARGUMENT when no source has such addresses. */
  async locate(
    address: string,
    credentials: Credentials | undefined,
    signal: AbortSignal | undefined,
  ): Promise<SourceImage> {
    for (const source of this.#sources) {
      const found = await source.locate?.(address, credentials, signal);
      if (found) return found;
    }
    throw invalidArgument('image.image', `${JSON.stringify(address.slice(0, 300))} is no address of an image source`);
  }

  /** The images in a file or directory, by the first source that reads its kind. @throws CriError INVALID_ARGUMENT when none does. */
  async open(path: string, signal: AbortSignal | undefined, secret?: FileSecret): Promise<SourceImage[]> {
    for (const source of this.#sources) {
      const images = await source.open?.(path, signal, secret);
      if (images) return images;
    }
    throw invalidArgument('path', `${JSON.stringify(path)} is not an image archive, layout or root filesystem`);
  }
}

function isElsewhere(error: unknown): boolean {
  return error instanceof CriError && (error.code === StatusCode.NOT_FOUND || error.code === StatusCode.UNKNOWN);
}
