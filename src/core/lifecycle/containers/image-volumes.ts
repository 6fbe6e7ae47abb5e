import { posix } from 'node:path';
import type { ContainerConfig, Mount } from '../../../../api/gen/cri.ts';
import { MountPropagation } from '../../../../api/gen/cri.ts';
import { resolveScoped, withScoped } from '../../../utils/fs/scoped.ts';
import type { ContainerRecord } from '../../model/container.ts';
import { invalidArgument, unknown } from '../../model/errors.ts';
import { messageOf } from '../../../utils/errors.ts';
import type { IdRange } from '../../model/id-range.ts';
import type { ImageRecord } from '../../model/image.ts';
import type { RootfsStore } from '../../model/rootfs.ts';

/** What the kubelet looks for at the beginning of the message (cri-api/pkg/errors). */
const PREFIX = 'ImageVolumeMountFailed';

/**
 * Checks the image volumes of a request without looking at the images.
 * @throws CriError INVALID_ARGUMENT: they are read-only (CRI Mount.readonly), private or slaves, and name no host path.
 */
export function checkImageVolumes(config: ContainerConfig): void {
  for (const [index, mount] of imageMounts(config)) {
    const field = `config.mounts[${String(index)}]`;
    if (mount.hostPath !== '') throw invalidArgument(`${field}.host_path`, 'must be empty where image is set');
    if (!mount.readonly)
      throw invalidArgument(`${field}.readonly`, 'must be true: an image volume cannot be written to');
    if (mount.propagation === MountPropagation.PROPAGATION_BIDIRECTIONAL) {
      throw invalidArgument(`${field}.propagation`, 'must not be BIDIRECTIONAL for an image volume');
    }
  }
}

/** The images that the request mounts, which must be present already. @throws CriError UNKNOWN with CRI's prefix. */
export function findMountedImages(
  config: ContainerConfig,
  find: (image: string) => ImageRecord | undefined,
): { mount: number; image: ImageRecord }[] {
  return imageMounts(config).map(([index, mount]) => {
    const name = mount.image?.image ?? '';
    const image = find(name);
    if (image === undefined) throw failed(index, `image ${JSON.stringify(name)} is not present: pull it first`);
    return { mount: index, image };
  });
}

/**
 * Mounts a read-only view of each image, with the owners of the user namespace `ids`, and finds the sub path in it, links resolved inside the view.
 * @returns the path to mount on this side, by the index of the mount in the request.
 * @throws CriError UNKNOWN with CRI's prefix when an image cannot be mounted or has no such sub path.
 */
export async function mountImageVolumes(
  rootfs: RootfsStore,
  { containerId, config, ids }: { containerId: string; config: ContainerConfig; ids: IdRange | undefined },
  images: readonly { mount: number; image: ImageRecord }[],
): Promise<ReadonlyMap<number, string>> {
  const sources = new Map<number, string>();
  for (const { mount, image } of images) {
    try {
      const { path } = await rootfs.prepare(viewId(containerId, mount), image.chainId, { readonly: true, ids });
      sources.set(mount, await subPath(path, config.mounts[mount]?.imageSubPath ?? ''));
    } catch (error) {
      throw failed(mount, messageOf(error), error);
    }
  }
  return sources;
}

/** Unmounts the views of a container; no error when there are none. */
export async function unmountImageVolumes(rootfs: RootfsStore, record: ContainerRecord): Promise<void> {
  for (const [index] of imageMounts(record.config)) await rootfs.remove(viewId(record.id, index));
}

/** Names of everything in the rootfs store that belongs to a container: its own root and its image volumes. */
export function rootfsIds(record: ContainerRecord): string[] {
  return [record.id, ...imageMounts(record.config).map(([index]) => viewId(record.id, index))];
}

/** The container that something in the rootfs store belongs to. */
export function ownerOf(rootfsId: string): string {
  return rootfsId.split('.', 1)[0] ?? rootfsId;
}

/** Mounts with an image. A sub path alone says nothing: the kubelet fills it in for volumes of other kinds, too. */
function imageMounts(config: ContainerConfig): [number, Mount][] {
  return [...config.mounts.entries()].filter(([, { image }]) => image !== undefined && image.image !== '');
}

function viewId(containerId: string, mount: number): string {
  return `${containerId}.${String(mount)}`;
}

async function subPath(view: string, path: string): Promise<string> {
  if (path === '') return view;
  if (posix.isAbsolute(path) || path.split('/').includes('..') || path.includes('\0')) {
    throw new Error(`image_sub_path ${JSON.stringify(path)} must be a relative path without ".."`);
  }
  const found = await withScoped(view, path, ({ stats }) => Promise.resolve(stats.isDirectory() || stats.isFile()));
  if (found === undefined) throw new Error(`image_sub_path ${JSON.stringify(path)} does not exist in the image`);
  if (!found) throw new Error(`image_sub_path ${JSON.stringify(path)} is neither a directory nor a file`);
  // The view is read-only, so what was found cannot have been exchanged since.
  return resolveScoped(view, path);
}

function failed(mount: number, problem: string, cause?: unknown) {
  return unknown(`${PREFIX}: config.mounts[${String(mount)}].image: ${problem}`, cause);
}
