import { open } from 'node:fs/promises';
import { CriError, StatusCode } from '../../../core/model/errors.ts';
import type { SourceImage } from '../../../core/model/image.ts';
import { isErrno } from '../../../utils/errors.ts';
import { hasMoreValuesThan } from '../../../utils/json.ts';
import { corrupt } from '../digest.ts';
import { MAX_DOCUMENT, MAX_VALUES } from '../manifest.ts';

/** Bytes of the manifests and configurations of all images of an archive together: they are in memory while it is read. */
const MAX_ARCHIVE_DOCUMENTS = 64 * 1_048_576;

/** Counts the documents of an archive's images. */
export class DocumentCount {
  #bytes = 0;

  /** @throws CriError INVALID_ARGUMENT when they are too many. */
  add({ manifest, config }: Pick<SourceImage, 'manifest' | 'config'>): void {
    this.#bytes += manifest.length + config.length;
    if (this.#bytes <= MAX_ARCHIVE_DOCUMENTS) return;
    throw new CriError(
      StatusCode.INVALID_ARGUMENT,
      `the manifests and configurations of its images take more than ${MAX_ARCHIVE_DOCUMENTS} bytes`,
    );
  }
}

/** Reads a small regular file. undefined when there is none. @throws CriError DATA_LOSS for a longer one or another kind of file. */
export async function readDocument(path: string, what: string): Promise<Buffer | undefined> {
  let file;
  try {
    file = await open(path, 'r');
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
  try {
    const stat = await file.stat();
    if (!stat.isFile()) throw corrupt(what, 'is not a regular file');
    if (stat.size > MAX_DOCUMENT) throw corrupt(what, `is larger than ${MAX_DOCUMENT} bytes`);
    return await file.readFile();
  } finally {
    await file.close();
  }
}

/** The JSON value of a document. @throws CriError INVALID_ARGUMENT for another document. */
export function parseJson(document: Buffer, what: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(document.toString('utf8'));
  } catch (cause) {
    throw new CriError(StatusCode.INVALID_ARGUMENT, `${what}: is not a JSON document`, { cause });
  }
  if (hasMoreValuesThan(value, MAX_VALUES)) {
    throw new CriError(StatusCode.INVALID_ARGUMENT, `${what}: has more than ${MAX_VALUES} values`);
  }
  return value;
}
