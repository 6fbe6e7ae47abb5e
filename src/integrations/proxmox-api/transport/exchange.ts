import type { Dispatcher } from 'undici';

/** One answer, read to its end. */
export interface Answer {
  status: number;
  /** The words behind the status: where Proxmox VE 8 puts the message of an error. */
  reason: string;
  body: string;
}

export interface Exchange {
  path: string;
  method: Dispatcher.HttpMethod;
  headers: Record<string, string>;
  body: string | undefined;
  /** Milliseconds from the moment it is sent; the connection has a limit of its own. */
  timeoutMs: number;
  signal: AbortSignal | undefined;
}

/** There was no complete answer. `wasSent` is false when no byte of the request can have reached the server. */
export class ExchangeError extends Error {
  readonly wasSent: boolean;
  /** The time limit ended it. */
  readonly isTimeout: boolean;

  constructor(message: string, wasSent: boolean, isTimeout = false) {
    super(message);
    this.name = 'ExchangeError';
    this.wasSent = wasSent;
    this.isTimeout = isTimeout;
  }
}

/**
 * Sends one request and reads its answer, whatever its status.
 * @throws ExchangeError without an answer, also when the signal or the time limit ends it.
 */
export function exchange(dispatcher: Dispatcher, request: Exchange): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  let wasSent = false;
  let controller: Dispatcher.DispatchController | undefined;
  let ended: ExchangeError | undefined;
  const end = (why: string, isTimeout: boolean) => {
    ended ??= new ExchangeError(why, wasSent, isTimeout);
    // First, for the library reports the abort too.
    reject(ended);
    controller?.abort(ended);
  };
  const onAbort = () => {
    end('aborted', false);
  };
  let timer: NodeJS.Timeout | undefined;
  request.signal?.addEventListener('abort', onAbort, { once: true });
  let status = 0;
  let reason = '';
  const chunks: Buffer[] = [];
  const { path, method, headers, body } = request;
  try {
    if (request.signal?.aborted === true) onAbort();
    else
      dispatcher.dispatch(
        { path, method, headers, body: body ?? null },
        {
          // Called when a connection is there and the request is about to be written.
          onRequestStart(current) {
            controller = current;
            if (ended) current.abort(ended);
            else {
              wasSent = true;
              timer = setTimeout(() => {
                end(`no answer within ${request.timeoutMs / 1000} s`, true);
              }, request.timeoutMs);
            }
          },
          onResponseStart(_, code, __, words) {
            status = code;
            reason = words ?? '';
          },
          onResponseData(_, chunk) {
            chunks.push(chunk);
          },
          onResponseEnd() {
            resolve({ status, reason, body: Buffer.concat(chunks).toString('utf8') });
          },
          onResponseError(_, error) {
            reject(new ExchangeError(reasonOf(error), wasSent));
          },
        },
      );
  } catch (error) {
    reject(new ExchangeError(reasonOf(error), wasSent));
  }
  return promise.finally(() => {
    clearTimeout(timer);
    request.signal?.removeEventListener('abort', onAbort);
  });
}

/** A library's words without its objects: those may hold bytes of an answer, and so a ticket. */
function reasonOf(error: unknown): string {
  if (error instanceof AggregateError) return [...new Set(error.errors.map(reasonOf))].join('; ');
  if (!(error instanceof Error)) return 'unknown failure';
  return 'code' in error && typeof error.code === 'string' && !error.message.includes(error.code)
    ? `${error.message} (${error.code})`
    : error.message || error.name;
}
