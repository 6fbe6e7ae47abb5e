import { Counter, Histogram, type Registry } from 'prom-client';
import { PREFIX } from './prefix.ts';

/** Buckets in seconds: an answer takes milliseconds; a queue, a lock or a clone takes minutes. */
const CALL_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];
const TASK_BUCKETS = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800];

/** Metrics of calls and tasks of the Proxmox API; it fits the `observer` of its client. */
export class ProxmoxApiMetrics {
  readonly #calls: Counter<'endpoint' | 'outcome'>;
  readonly #callSeconds: Histogram<'endpoint'>;
  readonly #tasks: Counter<'type' | 'outcome'>;
  readonly #taskSeconds: Histogram<'type'>;

  /** @throws Error when the registry has these metrics already. */
  constructor(registry: Registry) {
    const registers = [registry];
    this.#calls = new Counter({
      name: `${PREFIX}proxmox_api_calls_total`,
      help: 'Ended calls of the Proxmox API by endpoint and outcome (ok, or the kind of error).',
      labelNames: ['endpoint', 'outcome'],
      registers,
    });
    this.#callSeconds = new Histogram({
      name: `${PREFIX}proxmox_api_call_duration_seconds`,
      help: 'Duration of calls of the Proxmox API in seconds, with the wait for a free connection and retries.',
      labelNames: ['endpoint'],
      buckets: CALL_BUCKETS,
      registers,
    });
    this.#tasks = new Counter({
      name: `${PREFIX}proxmox_tasks_total`,
      help: 'Ended Proxmox tasks by type (vzcreate, qmstart, …) and outcome (ok, warnings, or the kind of error).',
      labelNames: ['type', 'outcome'],
      registers,
    });
    this.#taskSeconds = new Histogram({
      name: `${PREFIX}proxmox_task_duration_seconds`,
      help: 'Duration of Proxmox tasks in seconds, while they were followed.',
      labelNames: ['type'],
      buckets: TASK_BUCKETS,
      registers,
    });
  }

  /** Counts an ended call; `endpoint` is `METHOD /path/{template}`. */
  readonly call = ({ endpoint, outcome, seconds }: { endpoint: string; outcome: string; seconds: number }): void => {
    this.#calls.inc({ endpoint, outcome });
    this.#callSeconds.observe({ endpoint }, seconds);
  };

  /** Counts a task that was followed to its end. */
  readonly task = ({ type, outcome, seconds }: { type: string; outcome: string; seconds: number }): void => {
    this.#tasks.inc({ type, outcome });
    this.#taskSeconds.observe({ type }, seconds);
  };
}
