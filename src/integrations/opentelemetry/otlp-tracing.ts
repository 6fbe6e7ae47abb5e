import { AsyncLocalStorage } from 'node:async_hooks';
import { randomBytes } from 'node:crypto';
import { request } from 'undici';
import type { Logger } from '../../core/model/logger.ts';
import type { CallerTrace, OpenSpan, SpanAttributes, Tracing } from '../../core/model/tracing.ts';
import { messageOf } from '../../utils/errors.ts';
import { type EndedSpan, exportRequest } from './otlp-json.ts';

/** Spans that wait for an export; beyond it new ones are dropped. */
const MAX_QUEUE = 2048;
/** Milliseconds from the end of a span to its export. */
const DELAY_MS = 1000;
/** The default of {@link OtlpTracingOptions.limitMs}. */
const LIMIT_MS = 5000;

export interface OtlpTracingOptions {
  /** `http://HOST:PORT` of the collector. */
  endpoint: string;
  /** Share of the calls without a caller's trace, 0 to 1. */
  samplingRatio: number;
  /** Of this program, its node, … */
  resource: SpanAttributes;
  /** Milliseconds for the answer of the collector, by default 5,000. */
  limitMs?: number;
  logger: Logger;
}

interface Span extends Omit<EndedSpan, 'endedAt'> {
  isOpen: boolean;
}

/** Records spans and sends them to a collector by OTLP over HTTP, in JSON. A collector that is away costs the spans, and nothing else. */
export class OtlpTracing implements Tracing {
  readonly #options: OtlpTracingOptions;
  readonly #url: string;
  readonly #current = new AsyncLocalStorage<Span>();
  #queue: EndedSpan[] = [];
  #timer: NodeJS.Timeout | undefined;
  #sending: Promise<void> = Promise.resolve();
  #isReported = false;

  constructor(options: OtlpTracingOptions) {
    this.#options = options;
    this.#url = `${options.endpoint.replace(/\/$/, '')}/v1/traces`;
  }

  call<T>(name: string, caller: CallerTrace, work: (span: OpenSpan) => Promise<T>): Promise<T> {
    const parent = parseTraceparent(caller.traceparent);
    const isSampled = parent?.isSampled ?? Math.random() < this.#options.samplingRatio;
    if (!isSampled) return work({ set: () => undefined });
    const span: Span = {
      ...{ traceId: parent?.traceId ?? randomBytes(16).toString('hex'), parentSpanId: parent?.spanId, name },
      ...{
        traceState: parent && caller.tracestate,
        kind: 'server',
        attributes: { 'rpc.system': 'grpc', 'rpc.method': name },
      },
      ...begun(),
    };
    const open: OpenSpan = {
      set: (attributes) => {
        span.attributes = { ...span.attributes, ...attributes };
      },
    };
    return this.#run(span, () => work(open));
  }

  step<T>(name: string, attributes: SpanAttributes, work: () => Promise<T>): Promise<T> {
    const parent = this.#current.getStore();
    // What a call leaves running in the background is no part of it.
    if (parent?.isOpen !== true) return work();
    const { traceId, spanId: parentSpanId, traceState } = parent;
    return this.#run({ traceId, parentSpanId, traceState, name, kind: 'internal', attributes, ...begun() }, work);
  }

  /** Sends what is left; waits some seconds at most. */
  async stop(): Promise<void> {
    clearTimeout(this.#timer);
    this.#flush();
    await this.#sending;
  }

  async #run<T>(span: Span, work: () => Promise<T>): Promise<T> {
    try {
      return await this.#current.run(span, work);
    } catch (error) {
      span.error = messageOf(error);
      throw error;
    } finally {
      span.isOpen = false;
      if (this.#queue.length < MAX_QUEUE) this.#queue.push({ ...span, endedAt: now() });
      this.#timer ??= setTimeout(() => this.#flush(), DELAY_MS).unref();
    }
  }

  #flush(): void {
    this.#timer = undefined;
    const spans = this.#queue;
    if (spans.length === 0) return;
    this.#queue = [];
    this.#sending = this.#sending.then(() => this.#send(spans));
  }

  async #send(spans: readonly EndedSpan[]): Promise<void> {
    try {
      const { statusCode, body } = await request(this.#url, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: exportRequest(spans, this.#options.resource),
        signal: AbortSignal.timeout(this.#options.limitMs ?? LIMIT_MS),
      });
      await body.dump();
      if (statusCode >= 300) throw new Error(`the collector answered ${String(statusCode)}`);
      this.#isReported = false;
    } catch (error) {
      if (this.#isReported) return;
      this.#isReported = true;
      const values = {
        endpoint: this.#url,
        error: messageOf(error),
        remedy: 'check tracing.endpoint and the collector',
      };
      this.#options.logger.warn('Traces not delivered; spans are lost until the collector answers', values);
    }
  }
}

/** What every span begins with. */
function begun() {
  return { spanId: randomBytes(8).toString('hex'), startedAt: now(), error: undefined, isOpen: true };
}

/** Nanoseconds since 1970, with the resolution of the steady clock. */
function now(): bigint {
  return BigInt(Math.round((performance.timeOrigin + performance.now()) * 1000)) * 1000n;
}

/** Version 00 of W3C Trace Context; undefined for any other text. */
function parseTraceparent(text = ''): { traceId: string; spanId: string; isSampled: boolean } | undefined {
  const [, traceId, spanId, flags] = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/.exec(text) ?? [];
  if (traceId === undefined || spanId === undefined || flags === undefined) return undefined;
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return undefined;
  return { traceId, spanId, isSampled: (parseInt(flags, 16) & 1) === 1 };
}
