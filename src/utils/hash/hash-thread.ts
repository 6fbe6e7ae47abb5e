import { createHash } from 'node:crypto';
import type { Hash } from 'node:crypto';
import { parentPort } from 'node:worker_threads';

/** What the thread is told of one hash: more of its bytes, that it is wanted now, or that nobody wants it any more. */
export type HashRequest = { id: number; chunk: Uint8Array } | { id: number; want: 'digest' | 'nothing' };

/** How many bytes of a hash were taken in, or its digest in hexadecimal digits. */
export type HashAnswer = { id: number; taken: number } | { id: number; digest: string };

const hashes = new Map<number, Hash>();

parentPort?.on('message', (request: HashRequest) => {
  const { id } = request;
  const hash = hashes.get(id) ?? createHash('sha256');
  if ('chunk' in request) {
    hashes.set(id, hash.update(request.chunk));
    answer({ id, taken: request.chunk.length });
    return;
  }
  hashes.delete(id);
  if (request.want === 'digest') answer({ id, digest: hash.digest('hex') });
});

function answer(message: HashAnswer): void {
  parentPort?.postMessage(message);
}
