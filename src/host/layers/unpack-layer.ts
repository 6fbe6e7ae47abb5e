import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { addAbortSignal, Readable } from 'node:stream';
import type { MessagePort } from 'node:worker_threads';
import { CriError, StatusCode } from '../../core/model/errors.ts';
import { messageOf } from '../../utils/errors.ts';
import type { Usage } from '../../core/model/rootfs.ts';
import { openTar } from '../processes/decompress.ts';
import { TarError } from '../../utils/tar/header.ts';
import { UNSUSPICIOUS_BYTES } from './bounds.ts';
import { describeDirectory } from './directory-facts.ts';
import { readFedLayer } from './layer-port.ts';
import { mergeLayer } from './merge-layer.ts';
import { extract, type TarLimits } from './extract.ts';
import { type LayerFacts, LayerFilter, type LayerLimits } from './layer-filter.ts';

/** One layer to write into a directory. All fields can be passed to another thread. */
export interface UnpackTask {
  /** The layer's file, plain or compressed, or where its bytes come from (see {@link readFedLayer}) with their number. */
  blob: string | { size: number; port: MessagePort };
  /** Expected digest of the uncompressed bytes. */
  diffId: string;
  /** An empty directory. */
  directory: string;
  /** The tree of the layers below, into which the layer is merged; `directory` is in its root then, and removed. */
  onto?: string;
  /** Directories of the layers below, the top one first. */
  below: string[];
  /** The total usage of all lower layers. */
  usageBelow: Usage;
  limits: LayerLimits & TarLimits;
}

/**
 * Inflates, hashes, checks and writes a layer, and merges it where that is asked for.
 * @throws CriError INVALID_ARGUMENT for a broken or hostile layer, RESOURCE_EXHAUSTED when the disk is full; the signal's
 *   reason. What has been written then is the caller's to remove.
 */
export async function unpackLayer(task: UnpackTask, signal: AbortSignal): Promise<LayerFacts> {
  const { blob, diffId, directory, onto, below, limits } = task;
  const { size } = typeof blob === 'string' ? await stat(blob) : blob;
  const maxInflated = Math.max(UNSUSPICIOUS_BYTES, size * limits.maxRatio);
  const tar = await openTar(typeof blob === 'string' ? blob : readFedLayer(blob.port));
  const hash = createHash('sha256');
  const filter = new LayerFilter({
    ...(onto !== undefined && { whiteouts: 'list' as const }),
    limits,
    below: task.usageBelow,
    inherit: (path) => describeDirectory(below, path),
  });
  try {
    // A source that waits for more bytes would not notice by itself.
    addAbortSignal(signal, tar);
    await extract(filter.run(hashed(tar, hash, maxInflated)), directory, signal, limits);
  } catch (error) {
    signal.throwIfAborted();
    throw isCorruptStream(error) ? refused(messageOf(error), error) : error;
  } finally {
    tar.destroy();
  }
  const actual = `sha256:${hash.digest('hex')}`;
  if (actual !== diffId) {
    throw refused(`its content has the digest ${actual}, the image configuration expects ${diffId}`);
  }
  if (onto !== undefined) {
    mergeLayer(directory, onto, filter.removals);
    await extract(Readable.from(filter.directories()), onto, signal, limits);
  }
  return filter.facts;
}

async function* hashed(
  tar: AsyncIterable<Buffer>,
  hash: { update(data: Buffer): unknown },
  maxBytes: number,
): AsyncGenerator<Buffer> {
  let bytes = 0;
  for await (const chunk of tar) {
    bytes += chunk.length;
    if (bytes > maxBytes)
      throw new TarError(`it unpacks to more than ${maxBytes} bytes, too much for its compressed size`);
    hash.update(chunk);
    yield chunk;
  }
}

/** Errors of zlib. */
function isCorruptStream(error: unknown): boolean {
  return error instanceof Error && 'code' in error && /^(Z_|ZSTD_)/.test(String(error.code));
}

function refused(problem: string, cause?: unknown): CriError {
  return new CriError(StatusCode.INVALID_ARGUMENT, `refused: ${problem}`, { cause });
}
