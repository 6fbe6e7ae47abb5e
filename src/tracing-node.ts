import { hostname } from 'node:os';
import { versionInfo } from './cli/version-info.ts';
import type { Config } from './core/config/schema.ts';
import type { Logger } from './core/model/logger.ts';
import type { OtlpTracing } from './integrations/opentelemetry/otlp-tracing.ts';

/** Traces of this node; undefined where they are off, whose code is not loaded then. */
export async function openTracing({ tracing }: Config, logger: Logger): Promise<OtlpTracing | undefined> {
  if (tracing.endpoint === '') return undefined;
  const { OtlpTracing } = await import('./integrations/opentelemetry/otlp-tracing.ts');
  return new OtlpTracing({
    endpoint: tracing.endpoint,
    samplingRatio: tracing.sampling_rate_per_million / 1_000_000,
    resource: {
      'service.name': 'proxmox-lxcri',
      'service.version': versionInfo().version,
      'host.name': hostname(),
    },
    logger,
  });
}
