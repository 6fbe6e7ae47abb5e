import { failedPrecondition, invalidArgument } from '../../model/errors.ts';
import type { LimitPolicy, RootfsLimits, RootfsStore } from '../../model/rootfs.ts';
import { annotationField } from '../../model/own-annotations.ts';
import { annotatedSize, checkLargest, STORAGE_ANNOTATION } from '../../model/storage-annotations.ts';

const ANNOTATIONS = {
  quotaBytes: STORAGE_ANNOTATION.rootfsQuota,
  reservationBytes: STORAGE_ANNOTATION.rootfsReservation,
} as const;

/**
 * The limits of a new container's root filesystem: the container's annotations, then the pod's, then the defaults. A default is
 * dropped where the store cannot enforce it.
 * @param name of the container in its pod.
 * @throws CriError INVALID_ARGUMENT for a bad annotation, one that asks for more than it may, and a reservation above the quota;
 *   FAILED_PRECONDITION for an annotation that the store cannot enforce.
 */
export function rootfsLimits(
  { pod, container, name }: Record<'pod' | 'container', Readonly<Record<string, string>>> & { name: string },
  { defaults, largest }: LimitPolicy,
  store: Pick<RootfsStore, 'name' | 'enforcesLimits'>,
): RootfsLimits {
  const limits: { -readonly [key in keyof RootfsLimits]: RootfsLimits[key] } = {};
  for (const key of ['quotaBytes', 'reservationBytes'] as const) {
    const annotation = ANNOTATIONS[key];
    const asked = annotatedSize(container, annotation, name) ?? annotatedSize(pod, annotation, name);
    const bytes = asked ?? defaults[key] ?? 0n;
    if (store.enforcesLimits && asked !== undefined) checkLargest(annotation, asked, largest);
    if (bytes === 0n) continue;
    if (store.enforcesLimits) limits[key] = bytes;
    else if (asked !== undefined) {
      throw failedPrecondition(
        `${annotationField(annotation)}: root filesystems in the store ${store.name} have no limits; remove the annotation, or ` +
          'use a RuntimeClass whose handler stores root filesystems on ZFS (rootfs.store)',
      );
    }
  }
  const { quotaBytes, reservationBytes } = limits;
  if (quotaBytes !== undefined && reservationBytes !== undefined && reservationBytes > quotaBytes) {
    throw invalidArgument(
      annotationField(ANNOTATIONS.reservationBytes),
      `reserves ${reservationBytes} bytes, more than the quota of ${quotaBytes}`,
    );
  }
  return limits;
}
