import type { Readable } from 'node:stream';
import type { ImageRecord, SourceImage } from './image.ts';
import type { RootfsChanges } from './rootfs-changes.ts';

/** Small documents by digest: manifests and configurations. The caller has verified them. */
export interface DocumentStore {
  /** Stores a document durably. */
  put(digest: string, document: Buffer): Promise<void>;
  /** undefined when it does not exist. */
  get(digest: string): Promise<Buffer | undefined>;
  /** Digests of all documents. */
  list(): Promise<string[]>;
  /** No error when it does not exist. */
  remove(digest: string): Promise<void>;
}

/** Staging files for compressed layers between their source and the rootfs store. */
export interface BlobStaging {
  /**
   * Writes the stream of `open` into its own file and returns the file's path. `counted` gets the number of bytes of each
   * piece that was received.
   * @throws the source's error or the signal's reason; the file is then removed.
   */
  receive(
    digest: string,
    open: () => Promise<Readable>,
    signal: AbortSignal,
    counted?: (bytes: number) => void,
  ): Promise<string>;
  /** Removes a file that {@link receive} made. */
  discard(path: string): Promise<void>;
  /** Removes leftovers of an earlier process. @throws the system's error when one stays, which is harmless. */
  clear(): Promise<void>;
}

/** A file in an {@link ArchiveDirectory}; one of the same size and time is the same. */
export interface ArchiveFile {
  name: string;
  path: string;
  size: number;
  /** Milliseconds since 1970. */
  mtimeMs: number;
}

/** A JSON value that outlives the process. */
export interface KeptValue {
  /** The last stored value; undefined before the first, and when it cannot be read. */
  recall(): Promise<unknown>;
  remember(value: object): Promise<void>;
}

/** A directory of archives whose images are imported, for nodes without a registry. */
export interface ArchiveDirectory {
  /** The archives by name; none when the directory does not exist. */
  list(): Promise<ArchiveFile[]>;
  /** What of it has been imported. */
  readonly imported: KeptValue;
}

/** A file in a {@link WatchedDirectory}; one with the same key has the same content. */
export interface WatchedFile {
  path: string;
  key: string;
  /** Milliseconds since 1970. */
  mtimeMs: number;
}

/** A directory whose files are imported as soon as they are complete. */
export interface WatchedDirectory {
  /** Its files by name; none when it does not exist. @throws CriError UNAVAILABLE for a filesystem that stalls. */
  list(): Promise<WatchedFile[]>;
  /** Whether the file has changed lately, so that it may still be copied. */
  isGrowing(file: WatchedFile): boolean;
  /** Resolves when a file may have changed since the last call, at the latest after `limitMs` milliseconds or the signal; never rejects. */
  changed(limitMs: number, signal: AbortSignal): Promise<void>;
  /** What of it has been imported. */
  readonly imported: KeptValue;
}

export interface ExportedImage {
  /** Digest of the manifest in the archive. */
  digest: string;
  /** Bytes of the archive. */
  size: number;
}

/** Writes images into files of this node. */
export interface ImageExporter {
  /**
   * Writes an image as an oci-archive with its configuration and one layer of all its files.
   * @param image.path where the archive is to be; must not exist.
   * @param image.root gives the directory with the image's files; called once the archive's file is claimed.
   * @throws CriError INVALID_ARGUMENT when the file exists or cannot be made; the signal's reason. Nothing stays then.
   */
  write(
    record: ImageRecord,
    image: { path: string; root: () => Promise<string>; signal: AbortSignal | undefined },
  ): Promise<ExportedImage>;
  /** Removes leftovers of an earlier process. */
  clear(): Promise<void>;
}

/** A layer of an image in a file of its own, until it is discarded. */
export interface PackedLayer {
  /** Digest of the tar, which is not compressed. */
  digest: string;
  size: number;
  /** Its bytes, or a range of them, as SourceImage.openLayer gives them. */
  open: SourceImage['openLayer'];
  discard(): Promise<void>;
}

/** Makes layers of what root filesystems have changed. */
export interface LayerPacker {
  /**
   * Packs the changes: what was added or modified, and a whiteout (OCI image specification, layer.md) for what was deleted.
   * @throws CriError FAILED_PRECONDITION for a file with a name that layers reserve, Error with tar's words; the signal's
   *   reason. Nothing stays then.
   */
  pack(changes: RootfsChanges, signal: AbortSignal | undefined): Promise<PackedLayer>;
}

/** Files of this node whose names a caller gives. */
export interface NewFiles {
  /**
   * Writes a file that must not exist, and returns its size. @param bytes called once the file can be made.
   * @throws CriError INVALID_ARGUMENT when it exists or cannot be made; the signal's reason. Nothing stays then.
   */
  write(path: string, bytes: () => AsyncIterable<Buffer>, signal: AbortSignal | undefined): Promise<number>;
  /** The bytes of a regular file. @throws CriError INVALID_ARGUMENT when it cannot be read. */
  read(path: string): AsyncIterable<Buffer>;
}

/** What the images of this node have in files, beside their layers in the rootfs store. */
export interface ImageFiles {
  readonly documents: DocumentStore;
  readonly blobs: BlobStaging;
  /** undefined when none is configured. */
  readonly archives: ArchiveDirectory | undefined;
  /** Its `clear` removes leftovers of `packer` too. */
  readonly exporter: ImageExporter;
  readonly packer: LayerPacker;
  /** Bytes that can still be written to the filesystem of a path. */
  freeBytes(path: string): Promise<number>;
}
