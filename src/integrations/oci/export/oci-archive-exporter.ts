import { mkdir, mkdtemp, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { ImageRecord } from '../../../core/model/image.ts';
import type { ExportedImage, ImageExporter } from '../../../core/model/image-files.ts';
import { writeNewFile } from '../../../host/new-file.ts';
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
    try {
      let digest = '';
      const archive = async function* () {
        const layer = join(directory, 'layer');
        const packed = await packLayer(await root(), layer, signal);
        const documents = documentsOf(record, { ...packed, size: (await stat(layer)).size });
        digest = documents.manifestDigest;
        yield* archiveOf(documents.files, layer, packed.digest);
      };
      const size = await writeNewFile(path, archive, signal);
      return { digest, size };
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  }

  async clear(): Promise<void> {
    await rm(this.#temporary, { recursive: true, force: true });
  }
}
