import type { OciMount } from './oci-runtime.ts';
import type { Usage } from './rootfs.ts';

/** The writable directories that images declare (`Volumes` of the OCI image configuration), one set a container. */
export interface DeclaredVolumes {
  /**
   * Makes the directories of a container, filled with what the image has there, and gives their mounts. Owners, modes and
   * extended attributes are the image's. One inside another is a part of that one and has no mount of its own: all together
   * take no more than the image.
   * @param rootfs the container's root file system, where its runner is.
   * @param request.volumes paths as the image's configuration has them.
   * @param request.requested targets of the request's own mounts, links resolved; they win.
   * @param request.owner whom the container knows as root: it gets the directories that the image does not have.
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
      signal?: AbortSignal | undefined;
    },
  ): Promise<OciMount[]>;

  /**
   * Removes the directories of a container with their content, possibly in the background; no error when there are none, or
   * when a read-only file system keeps them: they are removed after a later call.
   */
  remove(containerId: string): Promise<void>;

  /** What lies in the directories of a container, with what the image has there; nothing when it has none. */
  usage(containerId: string): Promise<Usage>;

  /** Ids of the containers that have any; called at start. */
  list(): Promise<string[]>;
}
