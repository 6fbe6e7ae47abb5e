import { type FSWatcher, watch } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { isErrno } from '../../utils/errors.ts';
import { Waker } from '../waker.ts';

/** Signals the end of following, and wakes the reader. */
export class LogEnd extends Waker {
  #ended = false;

  /** No more output will be written: the reader reads the rest and returns. */
  end(): void {
    this.#ended = true;
    this.wake();
  }

  get ended(): boolean {
    return this.#ended;
  }
}

const CHUNK_BYTES = 65_536;
const LOOK_AGAIN_MS = 500;

/**
 * The bytes of a log file from the start, and those added later, until `end` reports that the writer has finished; all
 * bytes written before are yielded. Follows the name when the file is rotated. The file may not exist yet.
 * @throws the system's error when it cannot be read.
 */
export async function* followLog(path: string, end: LogEnd): AsyncGenerator<Buffer> {
  const watcher = watchDirectory(dirname(path), end);
  let file: FileHandle | undefined;
  try {
    let last = false;
    for (;;) {
      file ??= await openIfThere(path);
      if (file !== undefined) yield* rest(file);
      if (file !== undefined && (await replaced(path, file))) {
        // The writer may have appended to the old file between the last read and the rename.
        yield* rest(file);
        await file.close();
        file = undefined;
        continue;
      }
      if (last) return;
      // One more round reads what was written before the end was reported.
      last = end.ended;
      if (!last) await end.pause(LOOK_AGAIN_MS);
    }
  } finally {
    watcher?.close();
    await file?.close();
  }
}

async function* rest(file: FileHandle): AsyncGenerator<Buffer> {
  for (;;) {
    const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(CHUNK_BYTES), 0, CHUNK_BYTES, null);
    if (bytesRead === 0) return;
    yield buffer.subarray(0, bytesRead);
  }
}

async function openIfThere(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, 'r');
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}

/** True when `path` names another file now; while it does not exist, the old file is still the log. */
async function replaced(path: string, file: FileHandle): Promise<boolean> {
  try {
    const [now, then] = await Promise.all([stat(path, { bigint: true }), file.stat({ bigint: true })]);
    return now.ino !== then.ino || now.dev !== then.dev;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return false;
    throw error;
  }
}

/** Wakes the reader on changes; without inotify (such as at its limit) the reader polls. */
function watchDirectory(directory: string, end: LogEnd): FSWatcher | undefined {
  try {
    const watcher = watch(directory, () => {
      end.wake();
    });
    watcher.on('error', () => {
      watcher.close();
    });
    return watcher;
  } catch {
    return undefined;
  }
}
