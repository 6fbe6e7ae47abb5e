import type { OciMount } from './oci-runtime.ts';
import type { Remains, Usage } from './rootfs.ts';

/** The writable directories that images declare (`Volumes` of the OCI image configuration), one set a container. */
export interface DeclaredVolumes {
  /**
   * Creates the directories of a container with the image's content, owners, modes and extended attributes, and returns their
   * mounts. A volume inside another is a part of it and has no mount of its own, so that all together are not larger than the
   * image.
   * @param rootfs the container's root filesystem, as a path of its runner.
   * @param request.volumes paths as the image's configuration has them.
   * @param request.requested targets of the request's mounts, links resolved; they take precedence.
   * @param request.owner id of the container's root, which owns directories that the image does not have.
   * @param request.place an empty directory for a volume, by its number and its path in the container; by default they are made
   *   beside each other on the node's disk.
   * @param request.signal ends the copying.
   * @throws CriError INVALID_ARGUMENT for a path that no volume can have, UNKNOWN when the content cannot be copied; the signal's
   *   reason.
   */
  make(
    containerId: string,
    rootfs: string,
    request: {
      volumes: readonly string[];
      requested: readonly string[];
      owner: number;
      place?: ((number: number, destination: string) => Promise<string>) | undefined;
      signal?: AbortSignal | undefined;
    },
  ): Promise<OciMount[]>;

  /**
   * Removes the directories of a container, those of a `place` aside, with their content, possibly in the background; no error when there are none, or
   * on a read-only filesystem: a later call removes them.
   */
  remove(containerId: string): Promise<void>;

  /** What lies in those directories of a container, with what the image has there; nothing when it has none. */
  usage(containerId: string): Promise<Usage>;

  /** Ids of the containers that have any. */
  list(): Promise<string[]>;

  /** What is left of removed volumes. */
  remains(): Promise<Remains[]>;

  /** Called once at start: completes removals that an earlier process has begun. */
  recover(): Promise<void>;
}
