import { posix } from 'node:path';
import type { ContainerRecord } from '../../model/container.ts';
import type { MountSpec } from '../../model/container-spec.ts';
import { unknown } from '../../model/errors.ts';
import { messageOf } from '../../../utils/errors.ts';
import type { IdRange } from '../../model/id-range.ts';
import type { ImageRecord } from '../../model/image.ts';
import type { PlatformFiles } from '../../model/platform-files.ts';
import { mountRootfs, removeRootfs } from '../rootfs-place.ts';
import type { RootfsPlace } from '../rootfs-place.ts';

/** The message prefix that the kubelet recognizes (cri-api/pkg/errors). */
const PREFIX = 'ImageVolumeMountFailed';

/** The images that the request mounts, which must be present already. @throws CriError UNKNOWN with CRI's prefix. */
export function findMountedImages(
  mounts: readonly MountSpec[],
  find: (image: string) => ImageRecord | undefined,
): { mount: number; subPath: string; image: ImageRecord }[] {
  return imageMounts(mounts).map(({ index, image: name, subPath }) => {
    const image = find(name);
    if (image === undefined) throw failed(index, `image ${JSON.stringify(name)} is not present: pull it first`);
    return { mount: index, subPath, image };
  });
}

/**
 * Mounts a read-only view of each image, with the owners of the user namespace `ids`, and finds the sub path in it, links resolved inside the view.
 * @returns the path to mount on this side, by the index of the mount in the request.
 * @throws CriError UNKNOWN with CRI's prefix when an image cannot be mounted or has no such sub path; the signal's reason.
 */
export async function mountImageVolumes(
  { rootfs, files }: { rootfs: RootfsPlace; files: PlatformFiles },
  { containerId, ids, signal }: { containerId: string; ids: IdRange | undefined; signal: AbortSignal | undefined },
  images: ReturnType<typeof findMountedImages>,
): Promise<ReadonlyMap<number, string>> {
  const sources = new Map<number, string>();
  for (const { mount, subPath, image } of images) {
    try {
      const path = await mountRootfs(rootfs, viewId(containerId, mount), image.chainId, {
        readonly: true,
        ids,
        signal,
      });
      sources.set(mount, await resolveSubPath(files, path, subPath));
    } catch (error) {
      signal?.throwIfAborted();
      throw failed(mount, messageOf(error), error);
    }
  }
  return sources;
}

/** Unmounts and removes the views of a container; no error when there are none. */
export async function removeImageVolumes(rootfs: RootfsPlace, record: ContainerRecord): Promise<void> {
  for (const { index } of imageMounts(record.spec.mounts)) await removeRootfs(rootfs, viewId(record.id, index));
}

/** Names of all root filesystems in the store that belong to a container: its own and its image volumes. */
export function rootfsIds(record: ContainerRecord): string[] {
  return [record.id, ...imageMounts(record.spec.mounts).map(({ index }) => viewId(record.id, index))];
}

/** The container that a root filesystem in the store belongs to. */
export function ownerOf(rootfsId: string): string {
  return rootfsId.split('.', 1)[0] ?? rootfsId;
}

/** The mounts of images, with the index of each in the request. */
function imageMounts(mounts: readonly MountSpec[]): { index: number; image: string; subPath: string }[] {
  return mounts.flatMap(({ source }, index) => ('image' in source ? [{ index, ...source }] : []));
}

function viewId(containerId: string, mount: number): string {
  return `${containerId}.${String(mount)}`;
}

async function resolveSubPath(files: PlatformFiles, view: string, path: string): Promise<string> {
  if (path === '') return view;
  if (posix.isAbsolute(path) || path.split('/').includes('..')) {
    throw new Error(`image_sub_path ${JSON.stringify(path)} must be a relative path without ".."`);
  }
  const found = await files.inspectInRoot(view, path);
  if (found === undefined) throw new Error(`image_sub_path ${JSON.stringify(path)} does not exist in the image`);
  if (found.kind !== 'directory' && found.kind !== 'file') {
    throw new Error(`image_sub_path ${JSON.stringify(path)} is neither a directory nor a file`);
  }
  // The view is read-only, so the found file cannot have been replaced since.
  return posix.join(view, await files.resolveInRoot(view, path, 'image_sub_path'));
}

function failed(mount: number, problem: string, cause?: unknown) {
  return unknown(`${PREFIX}: config.mounts[${String(mount)}].image: ${problem}`, cause);
}
