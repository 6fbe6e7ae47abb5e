/** Values of a span, by the semantic conventions of OpenTelemetry. */
export type SpanAttributes = Readonly<Record<string, string | number>>;

/** The trace context of a caller, as W3C Trace Context has it in the metadata of a call. */
export interface CallerTrace {
  traceparent: string | undefined;
  tracestate: string | undefined;
}

/** A span that has begun. */
export interface OpenSpan {
  set(attributes: SpanAttributes): void;
}

/** Records what the time of a call goes into. */
export interface Tracing {
  /** Runs a call as a span, below the caller's where it names one. Its failure is the span's. @throws what `work` throws. */
  call<T>(name: string, caller: CallerTrace, work: (span: OpenSpan) => Promise<T>): Promise<T>;

  /** Runs a step of the current call as a span below the call's; outside of a call, only `work`. @throws what `work` throws. */
  step<T>(name: string, attributes: SpanAttributes, work: () => Promise<T>): Promise<T>;
}

const NO_SPAN: OpenSpan = { set: () => undefined };

/** Where no traces are recorded. */
export const NO_TRACING: Tracing = {
  call: (_name, _caller, work) => work(NO_SPAN),
  step: (_name, _attributes, work) => work(),
};
