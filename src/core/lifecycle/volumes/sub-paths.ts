import { failedPrecondition } from '../../model/errors.ts';
import type { PlatformFiles } from '../../model/platform-files.ts';
import type { RootfsMounts } from '../../model/rootfs-mounts.ts';
import { messageOf } from '../../../utils/errors.ts';
import { pathInEmptyDir } from './empty-dirs.ts';

/** The mount of a sub path. */
export interface SubPathRequest {
  /** Where the kubelet has bound it. */
  hostPath: string;
  /** The kubelet's directory of the volume. */
  directory: string;
  /** The root of the volume that is used in its place. */
  root: string;
  /** Name of the mount point; to be unmounted with the container. */
  id: string;
  /** Of the request, for errors. */
  field: string;
  signal: AbortSignal | undefined;
}

/**
 * Binds the same path of the volume that the kubelet has bound of its own directory; where the volume has none, it gets directories
 * like the kubelet's. A container that replaces them meanwhile by links cannot lead it outside of the volume.
 * @returns the path to mount. @throws CriError FAILED_PRECONDITION.
 */
export async function bindSubPath(
  files: Pick<PlatformFiles, 'resolve' | 'mountOf' | 'withDirectory'>,
  mounts: RootfsMounts,
  { hostPath, directory, root, id, field, signal }: SubPathRequest,
): Promise<string> {
  const real = (await files.resolve(hostPath)) ?? hostPath;
  const on = await files.mountOf(real);
  const path = on.mountPoint === real ? pathInEmptyDir(on.root, directory) : undefined;
  if (path === undefined) {
    throw failedPrecondition(
      `${field}: ${JSON.stringify(hostPath)} is no mount of a path in ${directory} that this server sees`,
    );
  }
  try {
    return await files.withDirectory(root, path, directory, (source) => {
      const mount = { type: 'none', source, options: ['bind'], target: '' };
      return mounts.mount(id, { mounts: [mount] }, signal);
    });
  } catch (error) {
    signal?.throwIfAborted();
    throw failedPrecondition(`${field}: sub path ${JSON.stringify(path)} of the volume: ${messageOf(error)}`, error);
  }
}
