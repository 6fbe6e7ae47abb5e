import { MetricType } from '../../../../api/gen/cri.ts';
import type { Metric, MetricDescriptor } from '../../../../api/gen/cri.ts';

/** Labels that every metric has; their values: of the container, of the pod alone (container and image are empty then). */
export const BASE_LABELS = ['id', 'image', 'namespace', 'pod', 'container'] as const;

/** One value of a metric; undefined: the kernel does not tell it. */
export interface Sample {
  value: bigint | undefined;
  /** Values of the family's own labels. */
  labels?: readonly string[];
  /** Nanoseconds since 1970, where it was not read with the others. */
  at?: bigint | undefined;
}

/** A metric that is read from figures `F`. */
export interface Family<F> {
  name: string;
  help: string;
  type: MetricType;
  /** Beside {@link BASE_LABELS}. */
  labels: readonly string[];
  samples: (figures: F) => readonly Sample[];
}

type One<F> = (figures: F) => bigint | undefined;
type Many<F> = (figures: F) => readonly Sample[];

/** A value that goes up and down. */
export function gauge<F>(name: string, help: string, value: One<F>): Family<F> {
  return { name, help, type: MetricType.GAUGE, labels: [], samples: (figures) => [{ value: value(figures) }] };
}

/** A value that counts up from the object's start. */
export function counter<F>(name: string, help: string, value: One<F>): Family<F> {
  return { ...gauge(name, help, value), type: MetricType.COUNTER };
}

/** Several values, told apart by labels of their own. */
export function gauges<F>(name: string, help: string, labels: readonly string[], samples: Many<F>): Family<F> {
  return { name, help, type: MetricType.GAUGE, labels, samples };
}

/** Counters, told apart by labels of their own. */
export function counters<F>(name: string, help: string, labels: readonly string[], samples: Many<F>): Family<F> {
  return { name, help, type: MetricType.COUNTER, labels, samples };
}

/** Whole seconds: CRI has no fractions. */
export function seconds(nanoseconds: bigint | undefined): bigint | undefined {
  return nanoseconds === undefined ? undefined : nanoseconds / 1_000_000_000n;
}

export function toDescriptor<F>({ name, help, labels }: Family<F>): MetricDescriptor {
  return { name, help, labelKeys: [...BASE_LABELS, ...labels] };
}

/** The samples of one object that are known. `base`: values of {@link BASE_LABELS}; `timestamp`: nanoseconds since 1970. */
export function toMetrics<F>(
  families: readonly Family<F>[],
  figures: F,
  base: readonly string[],
  timestamp: bigint,
): Metric[] {
  return families.flatMap(({ name, type, samples }) =>
    samples(figures).flatMap(({ value, labels = [], at }) =>
      value === undefined
        ? []
        : [{ name, timestamp: at ?? timestamp, metricType: type, labelValues: [...base, ...labels], value: { value } }],
    ),
  );
}
