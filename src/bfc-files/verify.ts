import type { Verified, VerifyOptions } from '../cli/bfc/files.ts';
import type { BfcReader } from '../integrations/bfc/reader.ts';
import { verifyBfc } from '../integrations/bfc/verify.ts';
import { quoted } from '../core/logging/escape.ts';
import { describedImages } from './describe.ts';
import { openFile } from './open.ts';

/** See BfcFiles. */
export async function verify({ file, secret, deep, signal, progress }: VerifyOptions): Promise<Verified> {
  await using reader = await openFile(file, secret, { without: !deep });
  const incomplete = await incompleteImages(reader);
  if (!deep) {
    const { count } = reader.index;
    return { file, deep, entries: count, bytes: 0, failed: incomplete.length, problems: incomplete };
  }
  let total = 0;
  for (const { type, size } of reader.index) if (type === 'file') total += size;
  const { entries, bytes, failed, problems } = await verifyBfc(reader, {
    signal,
    progress: (done) => {
      progress(done.bytes, total);
    },
  });
  const damaged = problems.map(({ message, place }) => ({
    path: place.entry === undefined ? undefined : Buffer.from(place.entry, 'latin1').toString('utf8'),
    message,
  }));
  return { file, deep, entries, bytes, failed: failed + incomplete.length, problems: [...damaged, ...incomplete] };
}

/** Images of which the file lacks something. An index may name images of other machines, all of which may be missing but one. */
async function incompleteImages(reader: BfcReader): Promise<Verified['problems']> {
  const { images = [] } = await describedImages(reader);
  const present = new Set(images.filter(({ id }) => id !== undefined).flatMap(({ names }) => names));
  return images.flatMap(({ id, names, digest, missing }) => {
    const [absent] = missing;
    const isElsewhere = id === undefined && names.some((name) => present.has(name));
    if (absent === undefined || isElsewhere) return [];
    const message = `${quoted(reader.name)}: has no ${absent} of the image ${names[0] ?? digest}; pack the image again`;
    return [{ path: undefined, message }];
  });
}
