import { once } from 'node:events';
import type { Writable } from 'node:stream';

/** Writes, and waits until the sink has room for more or has closed. Does nothing for one that is absent, closed or ended. */
export async function put(sink: Writable | undefined, content: Buffer | string): Promise<void> {
  if (sink === undefined || sink.destroyed || sink.writableEnded || sink.write(content)) return;
  const given = new AbortController();
  await Promise.race([
    once(sink, 'drain', { signal: given.signal }),
    once(sink, 'close', { signal: given.signal }),
  ]).catch(() => undefined);
  given.abort();
}
