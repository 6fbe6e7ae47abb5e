import { randomUUID } from 'node:crypto';
import type { ImageRecord } from '../../model/image.ts';
import type { ExportedImage, ImageExporter } from '../../model/image-files.ts';
import { mountRootfs, removeRootfs } from '../rootfs-place.ts';
import type { RootfsPlace } from '../rootfs-place.ts';

const COPY_PREFIX = 'export-';

/** Whether a root filesystem in the store belongs to an export; one found at start is a leftover. */
function isExportCopy(id: string): boolean {
  return id.startsWith(COPY_PREFIX);
}

/** Removes the root filesystems of exports that a killed server left. */
export async function clearExports(place: RootfsPlace): Promise<void> {
  for (const id of await place.store.list()) if (isExportCopy(id)) await removeRootfs(place, id);
}

/**
 * Writes an image as an oci-archive. The pulled layers are not kept, so the digests are new; the configuration differs
 * only in the layers.
 * @throws as ImageExporter.write, without leaving files.
 */
export async function exportImage(
  record: ImageRecord,
  options: { path: string; exporter: ImageExporter; rootfs: RootfsPlace; signal: AbortSignal | undefined },
): Promise<ExportedImage> {
  const { path, exporter, rootfs, signal } = options;
  const copy = `${COPY_PREFIX}${randomUUID()}`;
  const root = () => mountRootfs(rootfs, copy, record.chainId, { signal });
  try {
    return await exporter.write(record, { path, root, signal });
  } finally {
    await removeRootfs(rootfs, copy);
  }
}
