import { Readable } from 'node:stream';
import type { FileSecret } from '../../model/file-secret.ts';
import type { SourceImage } from '../../model/image.ts';

/** Gets the bytes of compressed layers that are done, and those of all images. */
type ImportReport = (done: number, total: number) => void;

export interface ImportOptions {
  /** Instead of the names in the file. */
  ref?: string;
  /** Name, digest or id of the image that is imported, instead of all. */
  image?: string | undefined;
  /** Whether the images get their repository digests too, as by a pull. */
  digests?: boolean;
  signal?: AbortSignal;
  /** Opens an encrypted file, and is tried before what the configuration names. */
  secret?: FileSecret | undefined;
  progress?: ImportReport;
}

/** Counts the bytes of the layers of an import while they are read. */
export class ImportProgress {
  readonly #report: ImportReport;
  readonly #total: number;
  /** By image: bytes of each layer. A layer that several stores lack is read for each. */
  readonly #read = new Map<SourceImage, Map<number, number>>();

  constructor(sources: readonly SourceImage[], report: ImportReport) {
    this.#report = report;
    this.#total = sources.reduce((sum, source) => sum + sizeOf(source), 0);
    for (const source of sources) this.#read.set(source, new Map());
    report(0, this.#total);
  }

  /** The image, with layers that are counted. */
  of(source: SourceImage): SourceImage {
    const read = this.#read.get(source) ?? new Map<number, number>();
    const openLayer: SourceImage['openLayer'] = async (layer, signal, range) => {
      const bytes = await source.openLayer(layer, signal, range);
      const at = source.layers.findIndex(({ digest }) => digest === layer.digest);
      const counted = async function* (report: () => void) {
        let seen = 0;
        for await (const chunk of bytes as AsyncIterable<Buffer>) {
          yield chunk;
          seen += chunk.length;
          if (seen <= (read.get(at) ?? 0)) continue;
          read.set(at, seen);
          report();
        }
      };
      return Readable.from(
        counted(() => {
          this.#tell();
        }),
        { objectMode: false, highWaterMark: bytes.readableHighWaterMark },
      );
    };
    return { ...source, openLayer };
  }

  /** All layers of the image are in the store, also those that were there before. */
  finish(source: SourceImage): void {
    this.#read.set(source, new Map(source.layers.map(({ size }, at) => [at, size])));
    this.#tell();
  }

  #tell(): void {
    let done = 0;
    for (const layers of this.#read.values()) for (const bytes of layers.values()) done += bytes;
    this.#report(done, this.#total);
  }
}

function sizeOf({ layers }: SourceImage): number {
  return layers.reduce((sum, { size }) => sum + size, 0);
}
