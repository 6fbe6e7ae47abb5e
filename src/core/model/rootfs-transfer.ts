/** What a node tells another about an image, beside its files. */
export interface TransferredImage {
  /** The image configuration and the manifest, as they were pulled. */
  config: Buffer;
  manifest: Buffer;
  /** Tags and repository digests, in full. */
  names: readonly string[];
}

/** An image that arrives. */
export interface IncomingImage extends TransferredImage {
  /** Lowest first; `diffId` as the sender has it. */
  readonly layers: readonly { chainId: string; diffId: string }[];
  /** The root filesystem of a container follows, which becomes one more layer. */
  readonly hasRootfs: boolean;
  /**
   * Receives the layers that the store lacks, and skips the others.
   * @param chainOf the chain id of the last layer, which is a container's root filesystem, by its diff id: the digest of its stream.
   * @returns that diff id; undefined without one.
   * @throws CriError DATA_LOSS for what is truncated or damaged, RESOURCE_EXHAUSTED, FAILED_PRECONDITION for what this system
   *   cannot receive; the signal's reason. Layers that are complete by then stay.
   */
  receive(chainOf: (diffId: string) => string, signal?: AbortSignal): Promise<string | undefined>;
}

/** What is sent of a root filesystem: the files at a snapshot, by default one that is made for this. */
export interface SentRootfs {
  id: string;
  snapshot: string | undefined;
}

/** Moves layers and root filesystems between stores of one kind on different nodes, as a stream of bytes. */
export interface RootfsTransfers {
  /**
   * An image, and a root filesystem made of it. @param chainId that of the image.
   * @throws CriError NOT_FOUND; the signal's reason.
   */
  send(
    image: TransferredImage,
    chainId: string | undefined,
    rootfs: SentRootfs | undefined,
    signal?: AbortSignal,
  ): AsyncGenerator<Buffer>;

  /** Reads the beginning. @throws CriError DATA_LOSS for other data, FAILED_PRECONDITION for that of a later version. */
  open(source: AsyncIterable<Buffer>): Promise<IncomingImage>;
}
