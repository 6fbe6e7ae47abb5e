import { failedPrecondition } from '../../model/errors.ts';
import type { RootfsLimits, RootfsStore } from '../../model/rootfs.ts';
import { annotationField } from '../../model/own-annotations.ts';
import { annotatedSize, checkLargest, STORAGE_ANNOTATION } from '../../model/storage-annotations.ts';

const ANNOTATION = STORAGE_ANNOTATION.volumeQuota;

/** The quotas of a container's volumes. */
export interface VolumeQuotas {
  /**
   * The annotated quota of a volume in bytes, by its name; 0: no limit, undefined: nothing is annotated for it.
   * @throws CriError INVALID_ARGUMENT where it is more than {@link largest}.
   */
  readonly of: (name: string) => bigint | undefined;
  /** The most that a volume may hold that is in the store; undefined: any. */
  readonly largest: bigint | undefined;
}

/**
 * The quotas of a container's volumes: the container's annotation, then the pod's.
 * @throws CriError FAILED_PRECONDITION for an annotation where the store has no volumes.
 */
export function volumeQuotas(
  { pod, container }: Record<'pod' | 'container', Readonly<Record<string, string>>>,
  largest: RootfsLimits,
  store: Pick<RootfsStore, 'name' | 'volumes'>,
): VolumeQuotas {
  const isAnnotated = [container, pod].some((annotations) => Object.hasOwn(annotations, ANNOTATION));
  if (isAnnotated && store.volumes === undefined) {
    throw failedPrecondition(
      `${annotationField(ANNOTATION)}: the store ${store.name} has no volumes with a quota; remove the annotation, or use a ` +
        'RuntimeClass whose handler stores root filesystems on ZFS (rootfs.store)',
    );
  }
  const of = (name: string) => {
    const bytes = annotatedSize(container, ANNOTATION, name) ?? annotatedSize(pod, ANNOTATION, name);
    // An emptyDir without a limit is none of the store's; those that images declare have paths as names.
    if (bytes !== undefined && (bytes > 0n || name.startsWith('/'))) checkLargest(ANNOTATION, bytes, largest);
    return bytes;
  };
  return { of, largest: largest.quotaBytes };
}
