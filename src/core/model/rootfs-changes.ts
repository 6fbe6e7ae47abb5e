/** What became of a file, directory or other entry of an image in a root filesystem. */
export type ChangeKind = 'added' | 'modified' | 'deleted';

/** One entry that differs from the image. */
export interface RootfsChange {
  kind: ChangeKind;
  /** Path from the root without a slash before it: any bytes but NUL. */
  path: Buffer;
}

/** A root filesystem beside its image, both read-only, until it is closed. */
export interface RootfsChanges {
  /** Directory with the files of the root filesystem. Its ids are those in the image, also for a user namespace. */
  readonly directory: string;
  /** Nothing that is written from now on shows. */
  readonly isSnapshot: boolean;
  /**
   * What differs, in batches, each directory before its content. A directory is modified when something in it is; of a deleted
   * one, its content is not listed. The root itself is never listed. @throws Error; the signal's reason.
   */
  list(signal?: AbortSignal): AsyncIterable<RootfsChange[]>;
  /** Unmounts and removes both. */
  close(): Promise<void>;
}
