import type { Unpacked, UnpackOptions } from '../cli/bfc/files.ts';
import { unpackImage } from '../integrations/bfc/images/unpack-image.ts';
import { unpackBfc } from '../integrations/bfc/unpack.ts';
import { imagesIn, openFile } from './open.ts';
import { namingFullDisk } from './space.ts';

/** See BfcFiles. */
export function unpack(options: UnpackOptions): Promise<Unpacked> {
  return namingFullDisk(options.directory, () =>
    options.image === undefined ? unpackAll(options) : unpackOne(options, options.image),
  );
}

async function unpackAll({ file, secret, directory, signal, progress }: UnpackOptions): Promise<Unpacked> {
  await using reader = await openFile(file, secret);
  let total = 0;
  for (const { type, size } of reader.index) if (type === 'file') total += size;
  const done = await unpackBfc(reader, directory, {
    signal,
    progress: ({ bytes }) => {
      progress(bytes, total);
    },
  });
  return { directory, ...done };
}

async function unpackOne(options: UnpackOptions, name: string): Promise<Unpacked> {
  const { file, secret, directory, signal, progress } = options;
  const images = await imagesIn(await openFile(file, secret), name);
  try {
    const [image] = images;
    if (!image) return { directory, entries: 0, bytes: 0 };
    await unpackImage(image, directory, { file, signal, progress });
    const blobs = new Map(image.layers.map(({ digest, size }) => [digest, size]));
    // Beside them: oci-layout, index.json, manifest, configuration.
    return { directory, entries: blobs.size + 4, bytes: [...blobs.values()].reduce((sum, size) => sum + size, 0) };
  } finally {
    for (const image of images) await image.close();
  }
}
