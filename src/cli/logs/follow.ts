import { type FSWatcher, watch } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { isErrno } from '../../utils/errors.ts';
import { Waker } from '../waker.ts';

/** Says when to stop following, and wakes the reader so that it sees. */
export class LogEnd extends Waker {
  #ended = false;

  /** Nothing will be written any more: the reader reads what is there and returns. */
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
 * The bytes of a log file from the start, and what is added, until `end` is told that the writer has finished; all
 * that was written before that is yielded. Follows the name when the file is rotated. The file need not exist yet.
 * @throws the system's error when it cannot be read.
 */
export async function* followLog(path: string, end: LogEnd): AsyncGenerator<Buffer> {
  const watcher = watchFolder(dirname(path), end);
  let file: FileHandle | undefined;
  try {
    let last = false;
    for (;;) {
      file ??= await openIfThere(path);
      if (file !== undefined) yield* rest(file);
      if (file !== undefined && (await replaced(path, file))) {
        // The writer may have added to the old file between the last read and the rename.
        yield* rest(file);
        await file.close();
        file = undefined;
        continue;
      }
      if (last) return;
      // What was written before the end was told is read in one more round.
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

/** True when `path` names another file now; while it names none, the old one is still the log. */
async function replaced(path: string, file: FileHandle): Promise<boolean> {
  try {
    const [now, then] = await Promise.all([stat(path, { bigint: true }), file.stat({ bigint: true })]);
    return now.ino !== then.ino || now.dev !== then.dev;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return false;
    throw error;
  }
}

/** Wakes the reader on changes; without inotify (none left, say) looking again now and then is enough. */
function watchFolder(folder: string, end: LogEnd): FSWatcher | undefined {
  try {
    const watcher = watch(folder, () => {
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
