import { Counter, Histogram, type Registry } from 'prom-client';
import { PREFIX } from './prefix.ts';

/** What {@link OperationMetrics} counts. */
export interface OperationsOf<L extends string> {
  /** Of the names: `network` gives `network_operations_total`. */
  part: string;
  /** For the help, in lower case: "calls of CNI plugins". */
  what: string;
  /** Beside `operation`. */
  labels: readonly L[];
  registry: Registry;
}

/** Buckets in seconds: a clone takes milliseconds, a CNI plugin up to two minutes. */
const BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120];

/** Operations of one part of the server, counted by result and timed. Labels have few values: no ids, no addresses. */
export class OperationMetrics<L extends string> {
  readonly #ended: Counter<L | 'operation' | 'result'>;
  readonly #seconds: Histogram<L | 'operation'>;

  /** @throws Error when the registry has metrics of this part already. */
  constructor({ part, what, labels, registry }: OperationsOf<L>) {
    const registers = [registry];
    this.#ended = new Counter({
      name: `${PREFIX}${part}_operations_total`,
      help: `Ended ${what}, by result (success or failure).`,
      labelNames: [...labels, 'operation', 'result'],
      registers,
    });
    this.#seconds = new Histogram({
      name: `${PREFIX}${part}_operation_duration_seconds`,
      help: `Duration of ${what}, in seconds.`,
      labelNames: [...labels, 'operation'],
      buckets: BUCKETS,
      registers,
    });
  }

  /** Runs `work`, and counts it with these labels. @throws what `work` throws. */
  async run<T>(labels: Record<L | 'operation', string>, work: () => Promise<T>): Promise<T> {
    const begun = performance.now();
    let result = 'failure';
    try {
      const value = await work();
      result = 'success';
      return value;
    } finally {
      this.#ended.inc({ ...labels, result } as Record<L | 'operation' | 'result', string>);
      this.#seconds.observe(labels, (performance.now() - begun) / 1000);
    }
  }
}
