import { formatReference, parseReference } from '../../core/lifecycle/images/reference.ts';
import type { ContainerSpec } from '../../core/model/container-spec.ts';
import type { ImageRecord } from '../../core/model/image.ts';

/**
 * The name of a container's image for ContainerStatus.image: the one that was asked for, in full, whatever other names the
 * image has. Where only an id was named it is a tag of the image, and the id without any.
 * @param record the image; undefined when it has been removed.
 */
export function imageName(
  { asked, name }: ContainerSpec['image'],
  record: Pick<ImageRecord, 'repoTags' | 'repoDigests'> | undefined,
  defaultRegistry: string,
): string {
  const known = [...(record?.repoTags ?? []), ...(record?.repoDigests ?? [])];
  for (const text of [asked, name]) {
    const full = inFull(text, defaultRegistry);
    // What may be the beginning of an id is a name only where the image has it.
    if (full !== undefined && (known.includes(full) || !/^(sha256:)?[0-9a-f]{1,64}$/.test(text))) return full;
  }
  return record?.repoTags[0] ?? name;
}

function inFull(text: string, defaultRegistry: string): string | undefined {
  try {
    return formatReference(parseReference(text, { defaultRegistry }));
  } catch {
    return undefined;
  }
}
