import { createWriteStream } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { BlobStaging } from '../../../core/model/image-files.ts';

/** Blobs in files of a directory that is made when it is needed. */
export class StagedBlobs implements BlobStaging {
  readonly #directory: string;
  #count = 0;

  constructor(directory: string) {
    this.#directory = directory;
  }

  async receive(
    digest: string,
    open: () => Promise<Readable>,
    signal: AbortSignal,
    counted: (bytes: number) => void = () => undefined,
  ): Promise<string> {
    const path = join(this.#directory, `${digest.replace(':', '-')}.${String(process.pid)}-${String(this.#count++)}`);
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    try {
      const stream = await open();
      stream.on('data', ({ length }: Buffer) => {
        counted(length);
      });
      await pipeline(stream, createWriteStream(path, { flags: 'w', mode: 0o600 }), { signal });
    } catch (error) {
      await this.discard(path);
      throw error;
    }
    return path;
  }

  async discard(path: string): Promise<void> {
    await rm(path, { force: true });
  }

  async clear(): Promise<void> {
    await rm(this.#directory, { recursive: true, force: true });
  }
}
