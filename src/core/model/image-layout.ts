import type { ByteRange, SourceImage } from './image.ts';

/** The files of an image layout (OCI image specification, image-layout.md), wherever they are. */
export interface LayoutFiles {
  /** A document by its path in the layout; undefined when there is none. @throws CriError DATA_LOSS for a file above 4 MiB. */
  document(path: string): Promise<Buffer | undefined>;
  /** The bytes of a file, or a range of them. */
  open(
    path: string,
    options: { signal?: AbortSignal | undefined; range?: ByteRange | undefined },
  ): AsyncIterable<Buffer>;
  /** Called once for each image that was read. */
  close(): Promise<void>;
  /** See {@link SourceImage.isLocal}. */
  isLocal?: boolean;
}

/** Reads the images of a layout, for the platform of this machine; undefined when the files are no layout. */
export type ReadLayout = (files: LayoutFiles) => Promise<SourceImage[] | undefined>;
