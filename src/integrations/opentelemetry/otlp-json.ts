import type { SpanAttributes } from '../../core/model/tracing.ts';

/** A span that has ended. Ids are hexadecimal, times nanoseconds since 1970. */
export interface EndedSpan {
  traceId: string;
  spanId: string;
  parentSpanId: string | undefined;
  traceState: string | undefined;
  name: string;
  kind: 'server' | 'internal';
  startedAt: bigint;
  endedAt: bigint;
  attributes: SpanAttributes;
  /** Message of its failure; undefined when it has succeeded. */
  error: string | undefined;
}

/** Numbers of the OTLP protocol. */
const KINDS = { internal: 1, server: 2 };
const STATUS_ERROR = 2;

/** The body of an export request of OTLP/HTTP in its JSON encoding. */
export function exportRequest(spans: readonly EndedSpan[], resource: SpanAttributes): string {
  return JSON.stringify({
    resourceSpans: [
      {
        resource: { attributes: attributesOf(resource) },
        scopeSpans: [{ scope: { name: 'proxmox-lxcri' }, spans: spans.map(toSpan) }],
      },
    ],
  });
}

function toSpan(span: EndedSpan) {
  const { traceId, spanId, parentSpanId, traceState, name, kind, startedAt, endedAt, attributes, error } = span;
  return {
    ...{ traceId, spanId, parentSpanId, traceState, name },
    kind: KINDS[kind],
    startTimeUnixNano: startedAt.toString(),
    endTimeUnixNano: endedAt.toString(),
    attributes: attributesOf(attributes),
    status: error === undefined ? {} : { code: STATUS_ERROR, message: error },
  };
}

function attributesOf(attributes: SpanAttributes) {
  return Object.entries(attributes).map(([key, value]) => ({
    key,
    value: typeof value === 'number' ? { intValue: String(Math.round(value)) } : { stringValue: value },
  }));
}
