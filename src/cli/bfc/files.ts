import type { FileSecret } from '../../core/model/file-secret.ts';

/** Gets what opens a file that is encrypted in this way; undefined when there is nothing. */
export type AskSecret = (file: string, kind: FileSecret['kind']) => Promise<FileSecret | undefined>;

/** Of work that takes long. */
export interface WorkOptions {
  signal: AbortSignal;
  /** Gets the bytes that are done, and those of all where they are known. */
  progress: (done: number, total: number | undefined) => void;
}

export interface PackOptions extends WorkOptions {
  /** An archive or layout of images, a BFC file, or another directory. */
  source: string;
  /** Of a source that is an encrypted BFC file. */
  sourceSecret: AskSecret;
  /** Directory for the files of an archive of images meanwhile, which are not encrypted. */
  temporary: string;
  /** Called when the source is not needed any more, if that is before the end. */
  opened?: () => Promise<void>;
  /** The name of the only image that is taken of a BFC file; undefined: everything is. */
  image: string | undefined;
  /** For the one image, instead of its names. */
  name: string | undefined;
  /** The BFC file to write. */
  file: string;
  /** What encrypts it. */
  secret: FileSecret | undefined;
  /** Of compression; undefined: none. */
  level: number | undefined;
  /** Whether an existing file is replaced. */
  replaces: boolean;
  /** Gets the path of what a BFC file cannot hold. */
  skipped: (path: string) => void;
}

export interface Packed {
  file: string;
  size: number;
  images: { id: string; names: string[] }[];
}

export interface UnpackOptions extends WorkOptions {
  file: string;
  secret: AskSecret;
  /** The name of the only image that is unpacked, as an image layout; undefined: everything is, as it is. */
  image: string | undefined;
  directory: string;
}

export interface Unpacked {
  directory: string;
  entries: number;
  bytes: number;
}

/** An image in a BFC file. */
export interface DescribedImage {
  names: string[];
  digest: string;
  /** undefined when its manifest is missing. */
  id: string | undefined;
  platform: string | undefined;
  layers: number;
  /** Bytes of its layers. */
  size: number;
  /** Digests of what the file lacks of it. */
  missing: string[];
}

export interface Description {
  file: string;
  size: number;
  uuid: string;
  layout: 'image layout' | 'manifest' | 'files';
  checksums: 'raw' | 'standard';
  compression: 'zstd' | 'none';
  encryption: 'password' | 'key file' | 'none';
  files: number;
  directories: number;
  symlinks: number;
  compressedFiles: number;
  encryptedFiles: number;
  /** Of all files, as they were put in and as they are stored. */
  bytes: number;
  storedBytes: number;
  /** Bytes that belong to no entry. */
  unusedBytes: number;
  /** undefined when they cannot be read without a key. */
  images: DescribedImage[] | undefined;
  /** Why documents of images cannot be read. */
  imagesProblem: string | undefined;
}

/** A file, directory or symlink in a BFC file. */
export interface ListedEntry {
  path: Buffer;
  type: 'file' | 'directory' | 'symlink';
  mode: number;
  /** Nanoseconds since 1970. */
  mtime: bigint;
  size: number;
  storedSize: number;
  compressed: boolean;
  encrypted: boolean;
  /** Of a symlink. */
  target: Buffer | undefined;
}

export interface VerifyOptions extends WorkOptions {
  file: string;
  secret: AskSecret;
  /** Whether all content is read, decrypted and decompressed. */
  deep: boolean;
}

export interface Verified {
  file: string;
  deep: boolean;
  entries: number;
  /** Bytes of content that were read. */
  bytes: number;
  /** How many entries are damaged, and images incomplete, and the first of them. */
  failed: number;
  problems: { path: string | undefined; message: string }[];
}

/** What the command line does with BFC files. Every error names the file; after an error nothing of a result stays. */
export interface BfcFiles {
  /** The key in a file. @throws CriError INVALID_ARGUMENT */
  readKey(path: string): Promise<FileSecret>;
  /** The password in a file or an open descriptor. @throws CriError INVALID_ARGUMENT */
  readPassword(from: string | number): Promise<FileSecret>;
  /** How a file is encrypted. @throws CriError for one that is no BFC file, or is damaged. */
  encryptionOf(file: string): Promise<FileSecret['kind'] | 'none'>;
  /** Writes a BFC file. @throws CriError; the signal's reason. */
  pack(options: PackOptions): Promise<Packed>;
  /** Unpacks a BFC file into a directory. @throws CriError; the signal's reason. */
  unpack(options: UnpackOptions): Promise<Unpacked>;
  /** What a file is and has. @throws CriError */
  describe(file: string, secret: AskSecret): Promise<Description>;
  /** All entries by path, some at a time. @throws CriError */
  list(file: string): AsyncIterable<ListedEntry[]>;
  /** Checks a file. @throws CriError when nothing in it can be checked. */
  verify(options: VerifyOptions): Promise<Verified>;
}
