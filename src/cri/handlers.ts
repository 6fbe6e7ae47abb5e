import { addAbortSignal } from 'node:stream';
import type {
  handleClientStreamingCall,
  handleUnaryCall,
  ServerUnaryCall,
  ServerWritableStream,
  ServiceDefinition,
  UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { deadlineExceeded, unimplemented } from '../core/model/errors.ts';
import { messageOf } from '../utils/errors.ts';
import type { Logger } from '../core/model/logger.ts';
import type { Metrics } from '../core/metrics/metrics.ts';
import type { CallDescriber, CallFields } from './call-fields.ts';
import { codeName, toServiceError } from './error-map.ts';

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
}

/**
 * Makes a gRPC implementation of `handlers`. Every RPC has the same steps: metrics, log, abort signal and error map; a method
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
interface ObservedCall extends Pick<ServerUnaryCall<unknown, unknown>, 'cancelled' | 'getDeadline'> {
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
      void this.#observe(call, async (context) => {
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
      void this.#observe(call, async (context) => {
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
      void this.#observe(call, async (context) => {
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

  async #observe<T>(call: ObservedCall, work: (context: CallContext) => Promise<T>): Promise<T> {
    const { logger, metrics, shutdown, describer } = this.#parts;
    const method = this.#method;
    const cancelled = new AbortController();
    if (call.cancelled) cancelled.abort();
    call.on('cancelled', () => {
      const late = Date.now() >= Number(call.getDeadline());
      cancelled.abort(late ? deadlineExceeded(`the deadline of the caller of ${method} has passed`) : undefined);
    });
    const isMutating = MUTATING.test(method);
    const fields = describer.ofRequest(call.request);
    const stopTimer = metrics.rpcDuration.startTimer({ method });
    const outcome = (code: string) => {
      metrics.rpcRequests.inc({ method, code });
      return { ...fields, code, durationMs: Math.round(stopTimer() * 1000) };
    };
    metrics.rpcInFlight.inc({ method });
    try {
      const signal = AbortSignal.any([cancelled.signal, shutdown]);
      const result = await work({ signal, log: (more) => Object.assign(fields, more) });
      logger[isMutating ? 'info' : 'debug'](`${method} succeeded`, {
        ...outcome('OK'),
        ...describer.ofResponse(result),
      });
      return result;
    } catch (error) {
      logger.warn(`${method} failed`, { ...outcome(codeName(toServiceError(error).code)), error: messageOf(error) });
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
