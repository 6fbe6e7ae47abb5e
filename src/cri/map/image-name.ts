import { fullName } from '../../core/lifecycle/images/reference.ts';
import type { ContainerSpec } from '../../core/model/container-spec.ts';
import type { ImageRecord } from '../../core/model/image.ts';

/**
 * The name of a container's image for ContainerStatus.image: the requested one, normalized, whatever other names the image
 * has. When an id was requested, it is a tag of the image, or the id when there is none.
 * @param record the image; undefined when it has been removed.
 */
export function imageName(
  { asked, name }: ContainerSpec['image'],
  record: Pick<ImageRecord, 'repoTags' | 'repoDigests'> | undefined,
  defaultRegistry: string,
): string {
  const known = [...(record?.repoTags ?? []), ...(record?.repoDigests ?? [])];
  for (const text of [asked, name]) {
    const full = fullName(text, defaultRegistry);
    // A possible id prefix is a name only when the image has this name.
    if (full !== undefined && (known.includes(full) || !/^(sha256:)?[0-9a-f]{1,64}$/.test(text))) return full;
  }
  return record?.repoTags[0] ?? name;
}
