import { mkdir, mkdtemp, rm, stat } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { CriError, invalidArgument, StatusCode } from '../../core/model/errors.ts';
import { isErrno, messageOf } from '../../utils/errors.ts';
import type { ImageSource, SourceImage } from '../../core/model/image.ts';
import { TarError } from '../../utils/tar/header.ts';
import { readDockerSave } from './archive/docker-save.ts';
import { readLayout } from './archive/layout.ts';
import { readRootTarball } from './archive/root-tarball.ts';
import { unpackArchive } from './archive/unpack.ts';
import { parsePlatform, type Platform } from './platform.ts';

export interface ArchiveReaderOptions {
  /** Directory for extracted archives while they are read; created when missing. */
  temporary: string;
  /** `linux/amd64`; this machine's when empty. */
  platform?: string;
}

/**
 * Reads OCI image layouts (a directory, or a tar of one), archives of `docker save` and tarballs of root filesystems; the tars
 * may be compressed by gzip, zstd or xz.
 */
export class ArchiveReader implements ImageSource {
  readonly name = 'archive';
  readonly #temporary: string;
  readonly #platform: Platform;
  #prepared: Promise<unknown> | undefined;

  constructor({ temporary, platform }: ArchiveReaderOptions) {
    this.#temporary = temporary;
    this.#platform = parsePlatform(platform);
  }

  /** @throws CriError INVALID_ARGUMENT also for a file of another kind: this source is the last to be asked. */
  async open(path: string, signal?: AbortSignal): Promise<SourceImage[]> {
    if (!isAbsolute(path)) throw invalidArgument('path', `${JSON.stringify(path)} must be absolute`);
    if (!(await isDirectory(path))) return this.#openFile(path, signal);
    const images = await readLayout(path, this.#platform, () => Promise.resolve());
    if (!images) throw unknownFormat(path);
    return images;
  }

  /** Empties the directory once: its content is left by an earlier process. */
  async #prepare(): Promise<void> {
    // Leftovers are harmless: each import has its own directory.
    this.#prepared ??= rm(this.#temporary, { recursive: true, force: true }).catch(() => undefined);
    await this.#prepared;
    await mkdir(this.#temporary, { recursive: true, mode: 0o700 });
  }

  async #openFile(path: string, signal: AbortSignal | undefined): Promise<SourceImage[]> {
    await this.#prepare();
    const directory = await mkdtemp(join(this.#temporary, 'archive-'));
    let open = 0;
    // Files of our own names: no path in it is long.
    const remove = () => rm(directory, { recursive: true, force: true });
    // The images share the directory: closing the last one removes it.
    const close = async () => {
      if (--open <= 0) await remove();
    };
    try {
      const members = await unpackArchive(path, directory, signal);
      if (!members) {
        await remove();
        return [await readRootTarball(path, this.#platform, signal)];
      }
      const images =
        (await readLayout(directory, this.#platform, close)) ??
        (await readDockerSave((name) => members.path(name), signal, close));
      if (!images) throw unknownFormat(path);
      open = images.length;
      if (open === 0) await remove();
      return images;
    } catch (error) {
      await remove();
      signal?.throwIfAborted();
      throw asInvalid(path, error);
    }
  }
}

async function isDirectory(path: string): Promise<boolean> {
  try {
    const found = await stat(path);
    // A device or FIFO may have no end.
    if (!found.isDirectory() && !found.isFile()) throw invalidArgument('path', `${JSON.stringify(path)} is not a file`);
    return found.isDirectory();
  } catch (cause) {
    if (isErrno(cause, 'ENOENT', 'ENOTDIR', 'EACCES')) {
      throw new CriError(StatusCode.INVALID_ARGUMENT, `path: ${JSON.stringify(path)} cannot be read`, { cause });
    }
    throw cause;
  }
}

function unknownFormat(path: string): CriError {
  return invalidArgument(
    'path',
    `${JSON.stringify(path)} is neither an OCI image layout, nor a docker-archive, nor a root filesystem`,
  );
}

/** Damage of any kind is the caller's to know. */
function asInvalid(path: string, error: unknown): unknown {
  const isDamage =
    error instanceof TarError || (error instanceof Error && 'code' in error && String(error.code).startsWith('Z_'));
  return isDamage ? invalidArgument('path', `${JSON.stringify(path)}: ${messageOf(error)}`) : error;
}
