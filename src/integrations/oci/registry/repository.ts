import { setTimeout as delay } from 'node:timers/promises';
import { CriError, failedPrecondition, StatusCode } from '../../../core/model/errors.ts';
import { messageOf } from '../../../utils/errors.ts';
import { type ByteRange, CorruptTransferError, type LayerDescriptor } from '../../../core/model/image.ts';
import type { Logger } from '../../../core/model/logger.ts';
import { corrupt, measured, verified, verifyDigest } from '../digest.ts';
import { decoded } from './content-encoding.ts';
import { unreachable } from './failure.ts';
import type { Session } from './session.ts';
import { type HttpResponse, readBody } from './transport.ts';

/** Maximum number of resumes of a transfer without progress, and the bytes that count as progress. */
const MAX_RESUMES = 4;
const PROGRESS = 1_048_576;

export interface RepositoryOptions {
  /** Registry and repository, for errors. */
  name: string;
  /** Milliseconds before a resume, for each failure. */
  retryMs: number;
  /** Bytes that a transfer must have received before it counts as resumed with progress, at least 1 MiB. */
  progress: number;
  logger: Logger;
}

/** One repository at all its endpoints, the last successful one first. */
export class Repository {
  #sessions: readonly Session[];
  readonly #options: RepositoryOptions;

  constructor(sessions: readonly Session[], options: RepositoryOptions) {
    this.#sessions = sessions;
    this.#options = options;
  }

  /**
   * A document of at most `limit` bytes, verified against its digest if `path` ends in one.
   * @throws as {@link Session.get} of the last endpoint, CriError DATA_LOSS when none has what was asked for.
   */
  async document(path: string, accept: string, limit: number, signal?: AbortSignal): Promise<Buffer> {
    const digest = /sha256:[0-9a-f]{64}$/.exec(path)?.[0];
    return this.#anywhere(digest !== undefined, signal, async (session) => {
      const response = await session.get(path, { accept }, signal);
      const document = await readBody(response, limit, path).catch((error: unknown) => {
        signal?.throwIfAborted();
        throw error instanceof CriError ? error : unreachable(session.endpoint.base.host, error);
      });
      const plain = await decoded(document, response.headers['content-encoding'], limit, path);
      if (digest !== undefined) verifyDigest(path, plain, digest);
      return plain;
    });
  }

  /**
   * A blob's bytes, verified; an interrupted transfer is resumed at its offset.
   * @throws CorruptTransferError when they were wrong and there is another endpoint: the next call uses that one.
   */
  async *blob(layer: LayerDescriptor, signal?: AbortSignal): AsyncGenerator<Buffer> {
    const sources = new Set<Session>();
    try {
      const whole = { offset: 0, length: layer.size };
      yield* verified(this.#blob(layer, whole, sources, signal), layer);
    } catch (error) {
      if (!(error instanceof CriError) || error.code !== StatusCode.DATA_LOSS) throw error;
      const left = this.#sessions.filter((session) => !sources.has(session));
      const endpoint = [...sources].map((session) => session.endpoint.base.host);
      this.#options.logger.warn('Endpoint sent wrong bytes', { endpoint, error: error.message });
      if (left.length === 0) throw error;
      this.#sessions = left;
      throw new CorruptTransferError(error.message, { cause: error });
    }
  }

  /** A range of a blob's bytes, which has no digest to verify; an interrupted transfer is resumed. */
  range(layer: LayerDescriptor, range: ByteRange, signal?: AbortSignal): AsyncGenerator<Buffer> {
    return measured(this.#blob(layer, range, new Set(), signal), layer, range);
  }

  async *#blob(
    { digest, size }: LayerDescriptor,
    range: ByteRange,
    sources: Set<Session>,
    signal?: AbortSignal,
  ): AsyncGenerator<Buffer> {
    const { name, retryMs, progress } = this.#options;
    const end = range.offset + range.length;
    let offset = range.offset;
    let failures = 0;
    while (offset < end || (size === 0 && failures === 0)) {
      const from = offset;
      let began = false;
      let problem: unknown = new Error(`the transfer ended after ${from} of ${end} bytes`);
      try {
        const response = await this.#open(`blobs/${digest}`, { from, end, size }, sources, signal);
        began = true;
        for await (const chunk of continued(response, from)) {
          // Bytes beyond the whole blob are detected by the verification.
          const part = end < size ? chunk.subarray(0, end - offset) : chunk;
          offset += part.length;
          yield part;
          if (offset >= end && end < size) return;
        }
        if (offset >= end) return;
      } catch (error) {
        signal?.throwIfAborted();
        // No endpoint has the blob: that is final. A transfer that has started is retried.
        if (from === range.offset && failures === 0 && !began) throw error;
        problem = error;
      }
      failures = offset - from >= Math.max(PROGRESS, progress) ? 1 : failures + 1;
      if (failures > MAX_RESUMES) throw unreachable(`${name}: layer ${digest}`, problem);
      this.#options.logger.debug('Transfer interrupted; resuming', { blob: digest, offset, error: messageOf(problem) });
      await delay(retryMs * failures, undefined, { signal });
    }
  }

  #open(
    path: string,
    { from, end, size }: { from: number; end: number; size: number },
    sources: Set<Session>,
    signal?: AbortSignal,
  ): Promise<HttpResponse> {
    const last = end < size ? String(end - 1) : '';
    const headers: Record<string, string> = from === 0 && last === '' ? {} : { range: `bytes=${from}-${last}` };
    return this.#anywhere(true, signal, async (session) => {
      const response = await session.get(path, headers, signal);
      sources.add(session);
      return response;
    });
  }

  /**
   * Tries the endpoints in order; when all fail, the most informative error is thrown, followed by the others'
   * messages.
   */
  async #anywhere<T>(
    byDigest: boolean,
    signal: AbortSignal | undefined,
    task: (session: Session) => Promise<T>,
  ): Promise<T> {
    const failures: Failure[] = [];
    for (const session of this.#sessions) {
      if (!byDigest && session.endpoint.digestOnly === true) continue;
      try {
        const result = await task(session);
        this.#sessions = [session, ...this.#sessions.filter((other) => !isSamePlace(other, session))];
        return result;
      } catch (error) {
        signal?.throwIfAborted();
        failures.push({ session, error });
        const endpoint = session.endpoint.base.host;
        this.#options.logger.debug('Endpoint failed', { endpoint, error: messageOf(error) });
      }
    }
    throw mostTelling(failures);
  }
}

/** The same host by another protocol is tried only until one of them has answered. */
function isSamePlace({ endpoint: a }: Session, { endpoint: b }: Session): boolean {
  const isSameHost = a.base.host === b.base.host && a.isMirror === b.isMirror;
  return isSameHost && a.base.pathname === b.base.pathname && a.repository === b.repository;
}

interface Failure {
  session: Session;
  error: unknown;
}

function mostTelling(failures: readonly Failure[]): unknown {
  const weights = failures.map(weightOf);
  const most = failures[weights.lastIndexOf(Math.max(...weights))];
  if (most === undefined) return failedPrecondition('no endpoint is configured for this image');
  const others = failures
    .filter(({ session }) => !isSamePlace(session, most.session))
    .map(({ error }) => shortOf(error));
  if (others.length === 0 || !(most.error instanceof CriError)) return most.error;
  const { code, message } = most.error;
  return new CriError(code, `${message}; other endpoints: ${others.join('; ')}`.slice(0, 2000), { cause: most.error });
}

function shortOf(error: unknown): string {
  return messageOf(error).replace(/^RegistryUnavailable: /, '');
}

/** An error of the registry itself ranks above one of a mirror, a response above none. */
function weightOf({ error, session: { endpoint } }: Failure): number {
  const answered = error instanceof CriError && error.code !== StatusCode.UNKNOWN;
  return (endpoint.isMirror ? 0 : 2) + (answered ? 1 : 0);
}

/** The bytes from `offset` on, also from a server that ignores ranges. @throws CriError DATA_LOSS for a wrong range. */
async function* continued(response: HttpResponse, offset: number): AsyncGenerator<Buffer> {
  let skip = 0;
  if (response.statusCode === 206) {
    const start = /^bytes (\d+)-/.exec(String(response.headers['content-range']))?.[1];
    if (Number(start) !== offset) throw corrupt('range', `asked for bytes from ${offset}, got ${start ?? 'none'}`);
  } else {
    skip = offset;
  }
  for await (const chunk of response.chunks) {
    if (skip >= chunk.length) {
      skip -= chunk.length;
      continue;
    }
    yield skip > 0 ? chunk.subarray(skip) : chunk;
    skip = 0;
  }
}
