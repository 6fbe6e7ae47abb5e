import { randomUUID } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdir, mkdtemp, open, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { invalidArgument } from '../../../core/model/errors.ts';
import type { ImageRecord } from '../../../core/model/image.ts';
import type { ExportedImage, ImageExporter } from '../../../core/model/image-files.ts';
import { isErrno, messageOf } from '../../../utils/errors.ts';
import { archiveOf, documentsOf } from './oci-archive.ts';
import { packLayer } from './pack-layer.ts';

/** Exports images as oci-archives with one gzip-compressed layer. */
export class OciArchiveExporter implements ImageExporter {
  readonly #temporary: string;

  /** @param temporary directory for the layer while it is made. */
  constructor(temporary: string) {
    this.#temporary = temporary;
  }

  async write(
    record: ImageRecord,
    { path, root, signal }: Parameters<ImageExporter['write']>[1],
  ): Promise<ExportedImage> {
    await mkdir(this.#temporary, { recursive: true, mode: 0o700 });
    const directory = await mkdtemp(join(this.#temporary, 'image-'));
    const unfinished = join(dirname(path), `.export-${randomUUID()}.partial`);
    try {
      await claim(path, unfinished);
      const layer = join(directory, 'layer');
      const { diffId, digest } = await packLayer(await root(), layer, signal);
      const archive = documentsOf(record, { diffId, digest, size: (await stat(layer)).size });
      await pipeline(archiveOf(archive.files, layer, digest), createWriteStream(unfinished, { flags: 'r+' }), {
        ...(signal && { signal }),
      });
      await syncFile(unfinished);
      await rename(unfinished, path);
      return { digest: archive.manifestDigest, size: (await stat(path)).size };
    } catch (error) {
      signal?.throwIfAborted();
      throw error;
    } finally {
      await rm(unfinished, { force: true });
      await rm(directory, { recursive: true, force: true });
    }
  }

  async clear(): Promise<void> {
    await rm(this.#temporary, { recursive: true, force: true });
  }
}

/** Makes the unfinished file, and makes sure that the finished one replaces nothing. */
async function claim(path: string, unfinished: string): Promise<void> {
  try {
    await (await open(unfinished, 'wx', 0o600)).close();
  } catch (error) {
    throw invalidArgument('path', `${JSON.stringify(path)} cannot be created: ${messageOf(error)}`);
  }
  try {
    await stat(path);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return;
    throw error;
  }
  throw invalidArgument('path', `${JSON.stringify(path)} already exists; use a new file`);
}

async function syncFile(path: string): Promise<void> {
  const file = await open(path, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
