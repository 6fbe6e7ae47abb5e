import type { BfcReader } from './reader.ts';
import type { Progress, WorkOptions } from './verify.ts';
import type { BfcWriter } from './writer.ts';

/**
 * Adds everything in a BFC file to another one, which may be compressed and encrypted otherwise. Every entry is checked while it is
 * read, and its mode and times are kept.
 * @throws BfcError for the first bad entry, and for a name that is not written; the signal's reason.
 */
export async function repackBfc(
  writer: BfcWriter,
  reader: BfcReader,
  { signal, progress }: WorkOptions = {},
): Promise<Progress> {
  const done: Progress = { entries: 0, bytes: 0 };
  for (const entry of reader.index.byOffset()) {
    signal?.throwIfAborted();
    const { path, type, mode, mtime, size } = entry;
    if (type === 'directory') {
      await reader.check(entry);
      await writer.addDirectory(path, { mode, mtime });
    } else if (type === 'symlink') {
      for await (const target of reader.readStaged(entry, { signal })) {
        await writer.addSymlink(path, target, { mode, mtime });
      }
    } else {
      await writer.addFile(path, { mode, mtime, size }, counted(reader.readStaged(entry, { signal, recycles: true })));
    }
    done.entries++;
    progress?.(done);
  }
  return done;

  async function* counted(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const chunk of chunks) {
      yield chunk;
      done.bytes += chunk.length;
      progress?.(done);
    }
  }
}
