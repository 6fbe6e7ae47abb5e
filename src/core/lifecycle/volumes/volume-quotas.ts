import { failedPrecondition } from '../../model/errors.ts';
import type { RootfsStore } from '../../model/rootfs.ts';
import { annotatedSize, annotationField, STORAGE_ANNOTATION } from '../../model/storage-annotations.ts';

const ANNOTATION = STORAGE_ANNOTATION.volumeQuota;

/** The annotated quota of a volume in bytes, by its name; 0: no limit, undefined: nothing is annotated for it. */
export type VolumeQuotas = (name: string) => bigint | undefined;

/**
 * The quotas of a container's volumes: the container's annotation, then the pod's.
 * @throws CriError FAILED_PRECONDITION for an annotation where the store has no volumes.
 */
export function volumeQuotas(
  { pod, container }: Record<'pod' | 'container', Readonly<Record<string, string>>>,
  store: Pick<RootfsStore, 'name' | 'volumes'>,
): VolumeQuotas {
  const isAnnotated = [container, pod].some((annotations) => Object.hasOwn(annotations, ANNOTATION));
  if (isAnnotated && store.volumes === undefined) {
    throw failedPrecondition(
      `${annotationField(ANNOTATION)}: the store ${store.name} has no volumes with a quota; remove the annotation, or use a ` +
        'RuntimeClass whose handler stores root filesystems on ZFS (rootfs.store)',
    );
  }
  return (name) => annotatedSize(container, ANNOTATION, name) ?? annotatedSize(pod, ANNOTATION, name);
}
