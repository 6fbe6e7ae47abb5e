import type { Readable } from 'node:stream';
import { CriError, StatusCode } from './errors.ts';
import type { FileSecret } from './file-secret.ts';

/** The parts of an image name: `host/repository[:tag][@digest]`, with Docker's defaults filled in. */
export interface ImageReference {
  /** Host with port, such as `docker.io` or `127.0.0.1:5000`. */
  registry: string;
  repository: string;
  tag: string | undefined;
  digest: string | undefined;
}

/** The process defaults and the layers an image's configuration declares (OCI image specification, config.md). */
export interface ImageConfig {
  architecture: string;
  os: string;
  config: {
    User: string;
    Env: string[];
    Entrypoint: string[];
    Cmd: string[];
    WorkingDir: string;
    Volumes: string[];
    StopSignal: string;
    Labels: Record<string, string>;
    ExposedPorts: string[];
  };
  diffIds: string[];
}

/** The durable record of an image, the file `<root>/images/<hex of the id>.json`. */
export interface ImageRecord {
  /** Digest of the configuration, `sha256:<hex>`: CRI's Image.id. */
  id: string;
  /** `registry/repository:tag`, sorted. */
  repoTags: string[];
  /** `registry/repository@sha256:…`, sorted; the digest of the referenced document (the index if there is one). */
  repoDigests: string[];
  /** Size in bytes of the compressed layers and the configuration; never 0. */
  size: bigint;
  /** Digest of the platform's manifest. */
  manifestDigest: string;
  config: ImageConfig;
  /** Chain id of the whole image, undefined for an image without layers. */
  chainId: string | undefined;
  /** Nanoseconds since 1970. */
  pulledAt: bigint;
  /** `SCHEME://…` from which it was pulled. */
  addresses?: string[];
  pinned: boolean;
}

/** Credentials of a pull (CRI AuthConfig, or an auth.json entry). Never logged. */
export interface Credentials {
  username?: string;
  password?: string;
  /** Sent unchanged as the bearer token. */
  registryToken?: string;
  identityToken?: string;
  /** The address of their registry (CRI AuthConfig.server_address); any when it is missing. */
  serverAddress?: string;
}

export interface LayerDescriptor {
  digest: string;
  size: number;
  mediaType: string;
}

/** `length` bytes of a blob from `offset` on, all inside it. */
export interface ByteRange {
  offset: number;
  length: number;
}

/** A layer's bytes were wrong, and its source has another endpoint: open the layer again. */
export class CorruptTransferError extends CriError {
  constructor(message: string, options?: ErrorOptions) {
    super(StatusCode.DATA_LOSS, message, options);
    this.name = 'CorruptTransferError';
  }
}

/** A source does not have the image as far as it can tell: the next source is tried, and this is added to its error. */
export class NotProvidedError extends CriError {
  constructor(code: StatusCode, message: string, options?: ErrorOptions) {
    super(code, message, options);
    this.name = 'NotProvidedError';
  }
}

/** An image found at a source, its documents verified against their digests; layers not yet fetched. */
export interface SourceImage {
  /** Digest of the referenced document (an index or a manifest). */
  digest: string;
  manifestDigest: string;
  manifest: Buffer;
  /** Digest of `config`. */
  configDigest: string;
  config: Buffer;
  /** Lowest layer first. */
  layers: LayerDescriptor[];
  /** Names of the image in its source (archives); empty for a registry. */
  names: string[];
  /**
   * The blob's bytes as stored (compressed), or a range of them. The whole fails when it does not match the digest or the
   * size, with CorruptTransferError when opening the layer again may help; a range, which has no digest, when it ends early.
   */
  openLayer(layer: LayerDescriptor, signal?: AbortSignal, range?: ByteRange): Promise<Readable>;
  /** Its layers are in files of this node: they are unpacked as they are read, without a copy of them. */
  isLocal?: boolean;
  close(): Promise<void>;
}

/**
 * A kind of image source: a registry, archives, files of a format. The server tries its sources in the order in which they are
 * wired.
 */
export interface ImageSource {
  /** For people: `registry`, `archive`. */
  readonly name: string;
  /**
   * Finds the image of a name, for this machine's platform; undefined when the next source is to be asked. Missing for a source
   * without names.
   * @throws NotProvidedError, CriError NOT_FOUND, UNAUTHENTICATED, PERMISSION_DENIED, UNAVAILABLE, UNKNOWN with CRI's magic prefix. After
   *   NOT_FOUND and UNKNOWN the next source is tried.
   */
  resolve?(
    reference: ImageReference,
    credentials: Credentials | undefined,
    signal?: AbortSignal,
  ): Promise<SourceImage | undefined>;
  /**
   * Finds the image of an address, `SCHEME://…`, with the names that it is to have; undefined for an address of another source.
   * Missing for a source without addresses.
   * @throws CriError INVALID_ARGUMENT, NOT_FOUND, PERMISSION_DENIED for a place that requests may not name.
   */
  locate?(
    address: string,
    credentials: Credentials | undefined,
    signal?: AbortSignal,
  ): Promise<SourceImage | undefined>;
  /**
   * The images in a file or directory of this node, for this machine's platform; undefined for one of another kind, for
   * which the next source is asked. Missing for a source that reads none.
   * @param secret is tried on an encrypted one before those that the source is configured with.
   * @throws CriError INVALID_ARGUMENT for a damaged one, PERMISSION_DENIED for an encrypted one that no key fits.
   */
  open?(path: string, signal?: AbortSignal, secret?: FileSecret): Promise<SourceImage[] | undefined>;
}

/** A source with names. */
export interface ImageRegistry extends ImageSource {
  resolve(reference: ImageReference, credentials: Credentials | undefined, signal?: AbortSignal): Promise<SourceImage>;
}
