import { CriError, StatusCode } from '../../model/errors.ts';
import type { SourceImage } from '../../model/image.ts';
import { fullName } from './reference.ts';

/** Names that an error lists. */
const MAX_LISTED = 20;

/**
 * The images of a file that have a name, digest or id; all when `wanted` is undefined.
 * @param file for messages. @throws CriError NOT_FOUND, with the names that there are.
 */
export function chooseImages(
  images: readonly SourceImage[],
  wanted: string | undefined,
  { file, defaultRegistry }: { file: string; defaultRegistry: string },
): SourceImage[] {
  if (wanted === undefined) return [...images];
  const full = fullName(wanted, defaultRegistry);
  const isNamed = ({ names, digest, configDigest }: SourceImage) =>
    [digest, configDigest, ...names].includes(wanted) ||
    (full !== undefined && names.some((name) => fullName(name, defaultRegistry) === full));
  const chosen = images.filter(isNamed);
  if (chosen.length > 0) return chosen;
  const names = images.flatMap((image) => image.names);
  const listed = names.length === 0 ? 'none has a name' : names.slice(0, MAX_LISTED).join(', ');
  const more = names.length > MAX_LISTED ? ` and ${names.length - MAX_LISTED} more` : '';
  throw new CriError(
    StatusCode.NOT_FOUND,
    `${JSON.stringify(file)}: has no image ${JSON.stringify(wanted.slice(0, 300))}; it has: ${listed}${more}`,
  );
}
