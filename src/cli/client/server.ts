import { once } from 'node:events';
import { readFile, stat } from 'node:fs/promises';
import { connect } from 'node:net';
import { Client, type ClientReadableStream, type ServiceError, credentials, status } from '@grpc/grpc-js';
import { CriError, StatusCode, unavailable } from '../../core/model/errors.ts';
import { UsageError } from '../command.ts';

/** An RPC of the generated service definitions. */
export interface Method<Request, Response> {
  path: string;
  requestSerialize: (value: Request) => Buffer;
  responseDeserialize: (value: Buffer) => Response;
}

export interface CallOptions {
  /** Milliseconds; default 30 s, 0: no limit. */
  timeoutMs?: number;
  signal?: AbortSignal | undefined;
}

const DEFAULT_TIMEOUT_MS = 30_000;
const MAX_MESSAGE_BYTES = 64 * 1024 * 1024;

/** A connection to the running server. RPC errors are CriErrors with the server's code and message. */
export class ServerClient implements Disposable {
  readonly #path: string;
  readonly #client: Client;

  /** `address` is `unix:///absolute/path` or the path; does not connect yet. @throws UsageError for another address. */
  constructor(address: string) {
    const path = /^(?:unix:\/\/)?(\/.+)$/.exec(address)?.[1];
    if (path === undefined)
      throw new UsageError(
        `${JSON.stringify(address)}: the address must be unix:///absolute/path.sock or an absolute path`,
      );
    this.#path = path;
    this.#client = new Client(`unix:${path}`, credentials.createInsecure(), {
      // A path is not a valid :authority; servers may refuse it.
      'grpc.default_authority': 'localhost',
      'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
      'grpc.max_send_message_length': MAX_MESSAGE_BYTES,
    });
  }

  /** @throws CriError; UNAVAILABLE with the remedy when no server listens. */
  async call<Request, Response>(
    method: Method<Request, Response>,
    request: Request,
    { timeoutMs = DEFAULT_TIMEOUT_MS, signal }: CallOptions = {},
  ): Promise<Response> {
    signal?.throwIfAborted();
    const deadline = timeoutMs === 0 ? Infinity : Date.now() + timeoutMs;
    const { promise, resolve, reject } = Promise.withResolvers<Response>();
    const call = this.#client.makeUnaryRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      request,
      { deadline },
      (error, response) => {
        if (error === null && response !== undefined) resolve(response);
        else reject(error ?? new CriError(StatusCode.INTERNAL, 'the server sent no response'));
      },
    );
    const cancel = () => {
      call.cancel();
    };
    signal?.addEventListener('abort', cancel, { once: true });
    try {
      return await promise;
    } catch (error) {
      throw await this.explain(error);
    } finally {
      signal?.removeEventListener('abort', cancel);
    }
  }

  /** A stream of messages until `signal` or the server ends it. The caller listens for its 'error'. */
  stream<Request, Response>(
    method: Method<Request, Response>,
    request: Request,
    signal: AbortSignal,
  ): ClientReadableStream<Response> {
    const call = this.#client.makeServerStreamRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      request,
    );
    signal.addEventListener(
      'abort',
      () => {
        call.cancel();
      },
      { once: true },
    );
    return call;
  }

  /** Sends a stream of messages, as fast as the server reads them, and returns its response. @throws as {@link call}; what `requests` throws. */
  async upload<Request, Response>(
    method: Method<Request, Response>,
    requests: AsyncIterable<Request>,
  ): Promise<Response> {
    const { promise, resolve, reject } = Promise.withResolvers<Response>();
    const call = this.#client.makeClientStreamRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      (error, response) => {
        if (error === null && response !== undefined) resolve(response);
        else reject(error ?? new CriError(StatusCode.INTERNAL, 'the server sent no response'));
      },
    );
    const over = new AbortController();
    const settled = promise
      .catch(() => undefined)
      .then(() => {
        over.abort();
      });
    try {
      for await (const request of requests) {
        // A server that has failed reads no more.
        if (over.signal.aborted) break;
        if (!call.write(request)) await Promise.race([once(call, 'drain'), settled]);
      }
      call.end();
      return await promise;
    } catch (error) {
      call.cancel();
      throw await this.explain(error);
    }
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }

  /** Converts an error of {@link stream} to a CriError, if it came from the RPC. */
  async explain(error: unknown): Promise<unknown> {
    if (!isServiceError(error)) return error;
    if (error.code === status.UNAVAILABLE) {
      const reason = await whyUnreachable(this.#path);
      if (reason !== undefined) return unavailable(await reasonText(this.#path, reason), error);
    }
    return new CriError(error.code as StatusCode, error.details || `the RPC failed with code ${String(error.code)}`, {
      cause: error,
    });
  }
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && 'code' in error && typeof error.code === 'number' && 'details' in error;
}

/** The error code of a failed connection to the socket, undefined when it succeeds. */
function whyUnreachable(path: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(undefined);
    });
    socket.once('error', (error: NodeJS.ErrnoException) => {
      resolve(error.code ?? error.message);
    });
  });
}

async function reasonText(path: string, reason: string): Promise<string> {
  const address = `unix://${path}`;
  if (reason === 'EACCES') return `permission denied on socket ${address}; run as root${await groupText(path)}`;
  return (
    `no server listens on ${address} (${reason}); start it with "proxmox-lxcri serve", ` +
    'or name its socket with --address'
  );
}

/** Names the group that may use a socket beside root, if it is known. */
async function groupText(path: string): Promise<string> {
  try {
    const { gid } = await stat(path);
    const name = (await readFile('/etc/group', 'utf8')).split('\n').find((line) => line.split(':')[2] === String(gid));
    return gid === 0 ? '' : ` or a member of the group ${name?.split(':')[0] ?? String(gid)}`;
  } catch {
    return '';
  }
}
