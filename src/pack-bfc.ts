import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { PackBfc } from './cli/command.ts';
import { invalidArgument } from './core/model/errors.ts';
import type { SourceImage } from './core/model/image.ts';
import { packImages } from './integrations/bfc/images/pack-images.ts';
import { readSecrets } from './integrations/bfc/images/secrets.ts';
import { packDirectory } from './integrations/bfc/pack.ts';
import { type BfcWriter, createBfc } from './integrations/bfc/writer.ts';
import { ArchiveReader } from './integrations/oci/archive-reader.ts';
import { isErrno } from './utils/errors.ts';
import { exists } from './utils/fs/exists.ts';

/** See {@link PackBfc}. */
export const packBfc: PackBfc = async (options) => {
  const { source, file, keyFile, passwordFile, level: compressionLevel, replaces, signal, progress, skipped } = options;
  const [secret] = await readSecrets({
    keys: keyFile === undefined ? [] : [keyFile],
    passwords: passwordFile === undefined ? [] : [passwordFile],
  });
  const finish = async (fill: (writer: BfcWriter) => Promise<unknown>, images: readonly SourceImage[]) => {
    await using writer = await createBfc(file, { secret, compressionLevel, replaces });
    await fill(writer);
    const { size } = await writer.finish();
    return { file, size, images: images.map(({ configDigest: id, names }) => ({ id, names })) };
  };
  if (await isPlainDirectory(source)) {
    if (options.name !== undefined) throw invalidArgument('name', `${JSON.stringify(source)} is no image; omit it`);
    const counted = ({ bytes }: { bytes: number }) => {
      progress(bytes, undefined);
    };
    return finish((writer) => packDirectory(writer, source, { signal, progress: counted, skipped }), []);
  }
  return withImages(options, (images) => finish((writer) => packImages(writer, images, { signal, progress }), images));
};

async function withImages<T>(
  { source, name, signal }: Parameters<PackBfc>[0],
  work: (images: readonly SourceImage[]) => Promise<T>,
): Promise<T> {
  const temporary = await mkdtemp(join(tmpdir(), 'bfc-pack-'));
  try {
    const found = await new ArchiveReader({ temporary }).open(source, signal);
    try {
      if (name !== undefined && found.length > 1) {
        throw invalidArgument('name', `names one image, but ${JSON.stringify(source)} has ${found.length}; omit it`);
      }
      return await work(name === undefined ? found : found.map((image) => ({ ...image, names: [name] })));
    } finally {
      for (const image of found) await image.close();
    }
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}

/** Whether it is a directory of files, not an image layout. */
async function isPlainDirectory(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory() && !(await exists(join(path, 'oci-layout')));
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR', 'EACCES')) return false;
    throw error;
  }
}
