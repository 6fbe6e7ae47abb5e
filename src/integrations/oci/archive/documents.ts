import { open } from 'node:fs/promises';
import { CriError, StatusCode } from '../../../core/model/errors.ts';
import { isErrno } from '../../../utils/errors.ts';
import { corrupt } from '../digest.ts';
import { MAX_DOCUMENT } from '../manifest.ts';

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
  try {
    return JSON.parse(document.toString('utf8'));
  } catch (cause) {
    throw new CriError(StatusCode.INVALID_ARGUMENT, `${what}: is not a JSON document`, { cause });
  }
}
