import { createHash } from 'node:crypto';
import type { Readable } from 'node:stream';
import { CriError, StatusCode } from '../../core/model/errors.ts';
import type { ByteRange } from '../../core/model/image.ts';

/** `sha256:<hex>` of bytes in memory. */
export function digestOf(data: Buffer): string {
  return `sha256:${createHash('sha256').update(data).digest('hex')}`;
}

/** DATA_LOSS: what arrived is not what was announced. `what` names the document or blob. */
export function corrupt(what: string, problem: string): CriError {
  return new CriError(StatusCode.DATA_LOSS, `${what}: ${problem}`);
}

/** @throws CriError DATA_LOSS unless the bytes have this digest. */
export function verifyDigest(what: string, data: Buffer, digest: string): void {
  const actual = digestOf(data);
  if (actual !== digest) throw corrupt(what, `its content has the digest ${actual}, expected ${digest}`);
}

/**
 * Passes a blob's bytes through and verifies them against its descriptor. Hashed here, a chunk at a time: with a
 * processor's SHA instructions hashing a chunk takes less time than passing it to another thread
 * (test/bench/hashing.ts).
 * @throws CriError DATA_LOSS as soon as there are too many bytes, or at the end.
 */
export async function* verified(
  chunks: AsyncIterable<Buffer>,
  { digest, size }: { digest: string; size: number },
): AsyncGenerator<Buffer> {
  const hash = createHash('sha256');
  let seen = 0;
  for await (const chunk of chunks) {
    seen += chunk.length;
    if (seen > size) throw corrupt(`blob ${digest}`, `is longer than the expected ${size} bytes`);
    hash.update(chunk);
    yield chunk;
  }
  if (seen < size) throw corrupt(`blob ${digest}`, `ends after ${seen} of ${size} bytes`);
  const actual = `sha256:${hash.digest('hex')}`;
  if (actual !== digest) throw corrupt(`blob ${digest}`, `its content has the digest ${actual}`);
}

/** Passes a range's bytes through. @throws CriError DATA_LOSS when there are too few. */
export async function* measured(
  chunks: AsyncIterable<Buffer>,
  { digest }: { digest: string },
  { offset, length }: ByteRange,
): AsyncGenerator<Buffer> {
  let seen = 0;
  for await (const chunk of chunks) {
    seen += chunk.length;
    yield chunk;
  }
  if (seen !== length) throw corrupt(`blob ${digest}`, `has ${seen} of the ${length} bytes from ${offset} on`);
}

/** `sha256:<hex>` of a stream read to its end. @throws the stream's error, or the signal's reason. */
export async function digestOfStream(bytes: Readable, signal?: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of bytes as AsyncIterable<Buffer>) {
    signal?.throwIfAborted();
    hash.update(chunk);
  }
  return `sha256:${hash.digest('hex')}`;
}
