import { createWriteStream } from 'node:fs';
import { mkdir, rename, rm, statfs, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { SourceImage } from '../../../core/model/image.ts';
import { isErrno, messageOf } from '../../../utils/errors.ts';
import { BfcError } from '../errors.ts';
import { unfinishedName } from '../files/new-file.ts';
import { blobPath, indexOf, LAYOUT_MARKER } from './pack-images.ts';

export interface UnpackImageOptions {
  /** The BFC file, for messages. */
  file: string;
  signal?: AbortSignal | undefined;
  /** Gets the bytes of layers that are done, and those of all of them. */
  progress?: ((done: number, total: number) => void) | undefined;
}

/**
 * Writes one image as an OCI image layout of its own. Every byte is checked against the image's digests, and no name in it comes
 * from the file. It is written beside the target, under a name that ends in `.partial`: a failure leaves nothing.
 * @param target is missing, or an empty directory.
 * @throws BfcError `exists`, `space`; what a layer fails with; the signal's reason; errors of the system.
 */
export async function unpackImage(
  image: SourceImage,
  target: string,
  { file, signal, progress }: UnpackImageOptions,
): Promise<void> {
  const layers = new Map(image.layers.map((layer) => [layer.digest, layer]));
  const total = [...layers.values()].reduce((sum, { size }) => sum + size, 0);
  const { bavail, bsize } = await statfs(dirname(target));
  if (total > bavail * bsize) {
    const what = `the layers of the image have ${total} bytes, and ${dirname(target)} has ${bavail * bsize} bytes free`;
    throw new BfcError('space', { file }, what);
  }
  const stage = join(dirname(target), unfinishedName());
  const put = (path: string, document: Buffer) => writeFile(join(stage, path), document, { flag: 'wx' });
  let done = 0;
  try {
    await mkdir(join(stage, 'blobs/sha256'), { recursive: true });
    await put('oci-layout', LAYOUT_MARKER);
    await put('index.json', indexOf([image]));
    await put(blobPath(image.manifestDigest), image.manifest);
    await put(blobPath(image.configDigest), image.config);
    for (const layer of layers.values()) {
      const place = createWriteStream(join(stage, blobPath(layer.digest)), { flags: 'wx' });
      await pipeline(counted(await image.openLayer(layer, signal)), place, { ...(signal && { signal }) });
    }
    await rename(stage, target);
  } catch (error) {
    await rm(stage, { recursive: true, force: true });
    signal?.throwIfAborted();
    if (!isErrno(error, 'ENOTEMPTY', 'EEXIST', 'ENOTDIR')) throw error;
    throw new BfcError(
      'exists',
      { file },
      `${target} is not an empty directory: ${messageOf(error)}; unpack elsewhere`,
    );
  }

  async function* counted(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const chunk of chunks) {
      yield chunk;
      progress?.((done += chunk.length), total);
    }
  }
}
