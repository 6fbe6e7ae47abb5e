import { mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { isErrno } from '../../../../utils/errors.ts';
import { writeFileAtomic } from '../../../../utils/fs/atomic.ts';

/**
 * Writes a file whose name says its content, with its directory, unless it is there.
 * @throws the system's error.
 */
export async function placeFile(path: string, content: string | Buffer, mode: number): Promise<void> {
  const size = await stat(path).then(
    (found) => found.size,
    (error: unknown) => {
      if (isErrno(error, 'ENOENT')) return undefined;
      throw error;
    },
  );
  if (size === Buffer.byteLength(content)) return;
  await mkdir(dirname(path), { recursive: true });
  await writeFileAtomic(path, content, mode);
}
