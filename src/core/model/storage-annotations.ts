import { invalidArgument } from './errors.ts';
import { annotationField } from './own-annotations.ts';
import { parseQuantity } from './quantity.ts';
import type { RootfsLimits } from './rootfs.ts';

/** Annotations of pods and containers that limit or reserve storage. CRI has no field for any of it. */
export const STORAGE_ANNOTATION = {
  /** Bytes that a container may write to its root filesystem; by the names of containers. */
  rootfsQuota: 'proxmox-lxcri.io/rootfs-quota',
  /** Bytes that are kept free for a container's root filesystem; by the names of containers. */
  rootfsReservation: 'proxmox-lxcri.io/rootfs-reservation',
  /** Bytes that a volume may hold; by the names of volumes. */
  volumeQuota: 'proxmox-lxcri.io/volume-quota',
} as const;

export type StorageAnnotation = (typeof STORAGE_ANNOTATION)[keyof typeof STORAGE_ANNOTATION];

/** What a name may be in a list: neither the separators, nor white space, which is ignored around it. */
const ITEM = /^(?:([^\s=,]+)\s*=\s*)?([^\s=,]+)$/;

/**
 * The bytes that an annotation has for a name: `10Gi` for all, `10Gi, db=1Gi` for all others and for `db`. 0 means no limit.
 * @returns undefined without the annotation, and where it has none for the name.
 * @throws CriError INVALID_ARGUMENT naming the annotation, for values that are no such list of quantities.
 */
export function annotatedSize(
  annotations: Readonly<Record<string, string>>,
  annotation: StorageAnnotation,
  name: string,
): bigint | undefined {
  const sizes = sizesOf(annotations, annotation);
  return sizes.get(name) ?? sizes.get('');
}

/** Checks all of {@link STORAGE_ANNOTATION}. @throws as {@link annotatedSize}. */
export function checkStorageAnnotations(annotations: Readonly<Record<string, string>>): void {
  for (const annotation of Object.values(STORAGE_ANNOTATION)) sizesOf(annotations, annotation);
}

/**
 * Checks that an annotation asks for no more than the node allows. A quota of 0 is none at all, and more than any other.
 * @throws CriError INVALID_ARGUMENT naming the annotation, the bound and its key.
 */
export function checkLargest(annotation: StorageAnnotation, bytes: bigint, largest: RootfsLimits): void {
  const isReservation = annotation === STORAGE_ANNOTATION.rootfsReservation;
  const bound = isReservation ? largest.reservationBytes : largest.quotaBytes;
  const isUnlimited = !isReservation && bytes === 0n;
  if (bound === undefined || (bytes <= bound && !isUnlimited)) return;
  const asked = isUnlimited ? 'no limit' : `${String(bytes)} bytes`;
  const key = isReservation ? 'max_reservation_bytes' : 'max_quota_bytes';
  throw invalidArgument(
    annotationField(annotation),
    `asks for ${asked}; this node allows at most ${String(bound)} bytes (rootfs.${key}, or that of the handler)`,
  );
}

/** By names; "" is the one for all others. */
function sizesOf(
  annotations: Readonly<Record<string, string>>,
  annotation: StorageAnnotation,
): ReadonlyMap<string, bigint> {
  const sizes = new Map<string, bigint>();
  const text = Object.hasOwn(annotations, annotation) ? annotations[annotation] : undefined;
  if (text === undefined) return sizes;
  const field = annotationField(annotation);
  for (const item of text.split(',')) {
    const [, name = '', quantity = ''] = ITEM.exec(item.trim()) ?? [];
    const bytes = parseQuantity(quantity);
    if (bytes === undefined) {
      const shown = JSON.stringify(item.trim().slice(0, 100));
      throw invalidArgument(field, `${shown} must be bytes, such as "10Gi", or NAME=bytes; separate several by commas`);
    }
    if (sizes.has(name)) {
      throw invalidArgument(
        field,
        name === '' ? 'has two sizes without a name' : `names ${JSON.stringify(name)} twice`,
      );
    }
    sizes.set(name, bytes);
  }
  return sizes;
}
