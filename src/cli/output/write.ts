import { once } from 'node:events';
import type { Writable } from 'node:stream';

/** Writes and waits for a slow reader, so that its output does not fill the memory. No error when the reader is gone. */
export async function writeAll(stream: Writable, data: string | Uint8Array): Promise<void> {
  if (stream.destroyed || stream.writableEnded) return;
  if (stream.write(data)) return;
  const done = new AbortController();
  const options = { signal: done.signal };
  try {
    await Promise.race([
      once(stream, 'drain', options),
      once(stream, 'close', options),
      once(stream, 'error', options),
    ]);
  } catch {
    // `once` rejects on 'error': the reader is gone.
  } finally {
    done.abort();
  }
}
