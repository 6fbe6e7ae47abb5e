import { CriError, StatusCode } from '../../../core/model/errors.ts';
import type { LayoutFiles, ReadLayout } from '../../../core/model/image-layout.ts';
import type { LayerDescriptor, SourceImage } from '../../../core/model/image.ts';
import { BfcError } from '../errors.ts';
import type { BfcEntry } from '../format/container-index.ts';
import type { BfcReader } from '../reader.ts';

/** Largest document of a layout. */
const MAX_DOCUMENT = 4 * 1_048_576;
/** Files that make a directory a layout; the second is of the sketch before it. */
const MARKERS = ['oci-layout', 'manifest.json'];

/** A file of a layout, in the container that has it. */
interface Found {
  reader: BfcReader;
  entry: BfcEntry;
}

/** The images of a BFC file, read straight out of it. */
export class ContainerLayout {
  readonly reader: BfcReader;
  /** Before each path of the layout: the original puts the name of the packed directory there. */
  readonly #prefix: string;
  /** Layers that are in other containers, by their paths in a layout. */
  readonly #elsewhere = new Map<string, Found>();
  #users = 1;

  /** @param reader is closed with this. */
  constructor(reader: BfcReader) {
    this.reader = reader;
    this.#prefix = prefixOf(reader);
  }

  /** The files of the layout. */
  get files(): LayoutFiles {
    return {
      document: (path) => this.#document(path),
      open: (path, options) => this.#open(path, options),
      close: () => this.close(),
      isLocal: true,
    };
  }

  /**
   * The images. Each is to be closed, and this as well.
   * @throws BfcError, CriError for a broken layout, and INVALID_ARGUMENT when there is none.
   */
  async images(read: ReadLayout): Promise<SourceImage[]> {
    const images = await read(this.files);
    if (!images) {
      throw new BfcError(
        'malformed',
        { file: this.reader.name },
        'has no image layout: neither oci-layout with index.json, nor manifest.json with config.json',
      );
    }
    this.#users += images.length;
    return images;
  }

  /** Whether there is a file of this path in the layout. */
  has(path: string): boolean {
    return this.#find(path) !== undefined;
  }

  /** Those of the layers that are missing here. */
  missing(layers: readonly LayerDescriptor[]): LayerDescriptor[] {
    return layers.filter(({ digest }) => !this.#find(pathOf(digest)));
  }

  /** Takes a layer from another container, which stays open until this is closed. Returns whether it has it. */
  borrow(layer: LayerDescriptor, from: ContainerLayout): boolean {
    const found = from.#find(pathOf(layer.digest));
    if (found) this.#elsewhere.set(pathOf(layer.digest), found);
    return found !== undefined;
  }

  /** Closes the file with the last of its users. */
  async close(): Promise<void> {
    if (--this.#users > 0) return;
    const readers = new Set([this.reader, ...[...this.#elsewhere.values()].map(({ reader }) => reader)]);
    for (const reader of readers) await reader.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #find(path: string): Found | undefined {
    const entry = this.reader.index.find(this.#prefix + path);
    return entry ? { reader: this.reader, entry } : this.#elsewhere.get(path);
  }

  async #document(path: string): Promise<Buffer | undefined> {
    const found = this.#find(path);
    if (!found) return undefined;
    const { reader, entry } = found;
    const place = { file: reader.name, entry: entry.path };
    if (entry.type !== 'file') throw new BfcError('malformed', place, 'is not a file');
    if (entry.size > MAX_DOCUMENT) throw new BfcError('limit', place, `is larger than ${MAX_DOCUMENT} bytes`);
    const parts: Buffer[] = [];
    for await (const part of reader.read(entry)) parts.push(part);
    return Buffer.concat(parts);
  }

  /** Every byte goes through the check of its digest. */
  async *#open(path: string, { signal, range }: Parameters<LayoutFiles['open']>[1]): AsyncGenerator<Buffer> {
    const found = this.#find(path);
    if (!found) throw new CriError(StatusCode.DATA_LOSS, `${this.reader.name}: ${path} is missing`);
    const { reader, entry } = found;
    if (range) yield* reader.range(entry, range.offset, range.length, { signal });
    else yield* reader.readStaged(entry, { signal });
  }
}

function pathOf(digest: string): string {
  return `blobs/${digest.replace(':', '/')}`;
}

function prefixOf({ index }: BfcReader): string {
  if (MARKERS.some((name) => index.find(name))) return '';
  for (const { path } of index) {
    const top = `${path.split('/', 1)[0] ?? ''}/`;
    return MARKERS.some((name) => index.find(top + name)) ? top : '';
  }
  return '';
}
