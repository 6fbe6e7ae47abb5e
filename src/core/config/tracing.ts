import * as z from 'zod';

/** The table of traces. */
export function tracingTable() {
  return z
    .strictObject({
      endpoint: z
        .url({ protocol: /^https?$/ })
        .or(z.literal(''))
        .default('')
        .describe(
          'collector that takes OTLP over HTTP, such as "http://127.0.0.1:4318"; traces are sent to /v1/traces below it. "" disables them',
        ),
      sampling_rate_per_million: z
        .number()
        .int()
        .min(0)
        .max(1_000_000)
        .default(0)
        .describe(
          'calls of a million that are traced, of those whose caller sends no trace; the others follow their caller',
        ),
    })
    .prefault({})
    .describe('traces of calls, by OpenTelemetry');
}
