import { addAbortSignal } from 'node:stream';
import type {
  handleClientStreamingCall,
  handleUnaryCall,
  ServerUnaryCall,
  ServerWritableStream,
  ServiceDefinition,
  UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { codeName, deadlineExceeded, statusCodeOf, unimplemented } from '../core/model/errors.ts';
import { messageOf } from '../utils/errors.ts';
import type { Logger } from '../core/model/logger.ts';
import { NO_TRACING, type OpenSpan, type Tracing } from '../core/model/tracing.ts';
import type { Metrics } from '../core/metrics/metrics.ts';
import type { CallDescriber, CallFields } from './call-fields.ts';
import { toServiceError } from './error-map.ts';

/** Context of a handler. */
export interface CallContext {
  /** Aborted when the caller cancels, its deadline passes (a CriError DEADLINE_EXCEEDED then) or the server shuts down. */
  signal: AbortSignal;
  /** Adds fields to the log line of the call, also when it fails afterwards. */
  log: (fields: CallFields) => void;
}

interface MethodShape {
  path: string;
  requestStream: boolean;
  responseStream: boolean;
  requestDeserialize: (bytes: Buffer) => unknown;
  responseDeserialize: (bytes: Buffer) => unknown;
}

/** Handlers of a generated service definition: promises for single messages, async iterables for streams of them. */
export type Handlers<D> = {
  [K in keyof D]?: D[K] extends {
    requestStream: infer C;
    responseStream: infer S;
    requestDeserialize: (bytes: Buffer) => infer Q;
    responseDeserialize: (bytes: Buffer) => infer R;
  }
    ? (
        request: C extends true ? AsyncIterable<Q> : Q,
        context: CallContext,
      ) => S extends true ? AsyncIterable<R> : Promise<R>
    : never;
};

/** Mutating RPCs are logged at info; the others, some of which are called every few seconds, at debug. */
const MUTATING =
  /^(Run|Start|Stop|Remove|Create|Update|Reopen|Pull|Import|Export|Commit|Send|Receive|Prune|Checkpoint|Restore|Attach|Exec$|PortForward)/;

/** Dependencies of every RPC beside its handler. */
export interface CallParts {
  logger: Logger;
  metrics: Metrics;
  /** Aborted when the server shuts down. */
  shutdown: AbortSignal;
  describer: CallDescriber;
  /** Those that are served; a label of metrics has no other value. */
  handlers: ReadonlySet<string>;
  /** Default: none. */
  tracing?: Tracing | undefined;
}

/**
 * Makes a gRPC implementation of `handlers`. Every RPC has the same steps: metrics, log, trace, abort signal and error map; a method
 * without a handler returns UNIMPLEMENTED.
 */
export function implement<D extends Record<keyof D, MethodShape>>(
  definition: D,
  handlers: Handlers<D>,
  parts: CallParts,
): { definition: ServiceDefinition; implementation: UntypedServiceImplementation } {
  const implementation: UntypedServiceImplementation = {};
  for (const key of Object.keys(definition) as (keyof D & string)[]) {
    const method = definition[key].path.split('/').at(-1) ?? key;
    type Any = (request: unknown, context: CallContext) => Promise<unknown> & AsyncIterable<unknown>;
    const handler = handlers[key] as Any | undefined;
    const call = new InstrumentedMethod(method, parts);
    const { requestStream, responseStream } = definition[key];
    if (requestStream) implementation[key] = call.upload(handler);
    else implementation[key] = responseStream ? call.stream(handler) : call.unary(handler);
  }
  return { definition: definition as unknown as ServiceDefinition, implementation };
}

/** A call of any kind; one with a stream of requests has no `request`. */
interface ObservedCall extends Pick<ServerUnaryCall<unknown, unknown>, 'cancelled' | 'getDeadline' | 'metadata'> {
  request?: unknown;
  on(event: 'cancelled', listener: () => void): unknown;
}

class InstrumentedMethod {
  readonly #method: string;
  readonly #parts: CallParts;

  constructor(method: string, parts: CallParts) {
    this.#method = method;
    this.#parts = parts;
  }

  unary(
    handler: ((request: unknown, context: CallContext) => Promise<unknown>) | undefined,
  ): handleUnaryCall<unknown, unknown> {
    return (call, callback) => {
      void this.#trace(call, async (context) => {
        if (handler === undefined) throw unimplemented(this.#method);
        return handler(call.request, context);
      }).then(
        (response) => {
          callback(null, response);
        },
        (error: unknown) => {
          callback(toServiceError(error));
        },
      );
    };
  }

  /** A stream of requests and one response; the requests are read as the handler takes them. */
  upload(
    handler: ((requests: AsyncIterable<unknown>, context: CallContext) => Promise<unknown>) | undefined,
  ): handleClientStreamingCall<unknown, unknown> {
    return (call, callback) => {
      void this.#trace(call, async (context) => {
        if (handler === undefined) throw unimplemented(this.#method);
        const { signal } = context;
        const response = await handler(addAbortSignal(signal, call), context);
        signal.throwIfAborted();
        return response;
      }).then(
        (response) => {
          callback(null, response);
        },
        (error: unknown) => {
          callback(toServiceError(error));
        },
      );
    };
  }

  stream(handler: ((request: unknown, context: CallContext) => AsyncIterable<unknown>) | undefined) {
    return (call: ServerWritableStream<unknown, unknown>) => {
      void this.#observe(call, undefined, async (context) => {
        if (handler === undefined) throw unimplemented(this.#method);
        const { signal } = context;
        for await (const message of handler(call.request, context)) {
          if (signal.aborted) break;
          if (!call.write(message)) await drained(call, signal);
        }
        // A reader of events just leaves; a change that was broken off is no success.
        if (MUTATING.test(this.#method)) signal.throwIfAborted();
      }).then(
        () => {
          call.end();
        },
        (error: unknown) => {
          call.emit('error', toServiceError(error));
        },
      );
    };
  }

  /** A call with one response, whose duration says something. */
  #trace<T>(call: ObservedCall, work: (context: CallContext) => Promise<T>): Promise<T> {
    const { tracing = NO_TRACING } = this.#parts;
    const caller = (key: string) => call.metadata.get(key)[0]?.toString();
    const trace = { traceparent: caller('traceparent'), tracestate: caller('tracestate') };
    return tracing.call(this.#method, trace, (span) => this.#observe(call, span, work));
  }

  /** @param span of the call; undefined for one that returns a stream, which lasts as long as its reader wants. */
  async #observe<T>(
    call: ObservedCall,
    span: OpenSpan | undefined,
    work: (context: CallContext) => Promise<T>,
  ): Promise<T> {
    const { logger, metrics, shutdown, describer, handlers } = this.#parts;
    const method = this.#method;
    const cancelled = new AbortController();
    if (call.cancelled) cancelled.abort();
    call.on('cancelled', () => {
      const late = Date.now() >= Number(call.getDeadline());
      cancelled.abort(late ? deadlineExceeded(`the deadline of the caller of ${method} has passed`) : undefined);
    });
    const isMutating = MUTATING.test(method);
    const fields = describer.ofRequest(call.request);
    const begun = performance.now();
    const outcome = (code: number, more: CallFields = {}) => {
      const all = { ...fields, ...more };
      const ms = performance.now() - begun;
      const handler = all.handler !== undefined && handlers.has(all.handler) ? all.handler : '';
      metrics.rpcRequests.inc({ method, handler, code: codeName(code) });
      if (span !== undefined) metrics.rpcDuration.observe({ method, handler }, ms / 1000);
      span?.set({ 'rpc.grpc.status_code': code, ...all });
      return { ...all, code: codeName(code), durationMs: Math.round(ms) };
    };
    metrics.rpcInFlight.inc({ method });
    try {
      const signal = AbortSignal.any([cancelled.signal, shutdown]);
      const result = await work({ signal, log: (more) => Object.assign(fields, more) });
      logger[isMutating ? 'info' : 'debug'](`${method} succeeded`, outcome(0, describer.ofResponse(result)));
      return result;
    } catch (error) {
      logger.warn(`${method} failed`, { ...outcome(statusCodeOf(error)), error: messageOf(error) });
      throw error;
    } finally {
      metrics.rpcInFlight.dec({ method });
    }
  }
}

function drained(call: ServerWritableStream<unknown, unknown>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      call.off('drain', done);
      signal.removeEventListener('abort', done);
      resolve();
    };
    call.on('drain', done);
    signal.addEventListener('abort', done);
  });
}
