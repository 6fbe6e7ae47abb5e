import type { Writable } from 'node:stream';
import { writeAll } from '../output/write.ts';
import { CriLogParser, type LogEntry } from './cri-log.ts';

/** Writes the contents of a CRI log, given in chunks, to their streams. `timestamps`: with the time before each entry. */
export async function printLog(
  chunks: AsyncIterable<Buffer>,
  out: { stdout: Writable; stderr: Writable },
  timestamps = false,
): Promise<void> {
  const parser = new CriLogParser();
  for await (const chunk of chunks) await writeEntries(parser.push(chunk), out, timestamps);
  await writeEntries(parser.finish(), out, timestamps);
}

/** Consecutive entries of one stream are one write. */
async function writeEntries(
  entries: readonly LogEntry[],
  out: { stdout: Writable; stderr: Writable },
  timestamps: boolean,
): Promise<void> {
  let batch: Buffer[] = [];
  for (const [index, entry] of entries.entries()) {
    if (timestamps) batch.push(Buffer.from(`${entry.time} `));
    batch.push(entry.content);
    if (entries[index + 1]?.stream === entry.stream) continue;
    await writeAll(out[entry.stream], Buffer.concat(batch));
    batch = [];
  }
}
