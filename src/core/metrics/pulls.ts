import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import { codeName, statusCodeOf } from '../model/errors.ts';
import type { BlobStaging } from '../model/image-files.ts';
import { PREFIX } from './prefix.ts';

/** Buckets in seconds: an image that is present takes one request, a large one minutes. */
const SECONDS = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800];
/** Buckets in bytes a second: 64 KiB to 1 GiB. */
const RATES = [2 ** 16, 2 ** 18, 2 ** 20, 2 ** 22, 2 ** 24, 2 ** 25, 2 ** 26, 2 ** 27, 2 ** 28, 2 ** 29, 2 ** 30];

/** Metrics of image pulls. */
export class PullMetrics {
  readonly #pulls: Counter<'code'>;
  readonly #seconds: Histogram;
  readonly #inProgress: Gauge;
  readonly #layers: Counter<'result'>;
  readonly #bytes: Counter;
  readonly #rate: Histogram;

  /** @throws Error when the registry has these metrics already. */
  constructor(registry: Registry) {
    const registers = [registry];
    this.#pulls = new Counter({
      name: `${PREFIX}image_pulls_total`,
      help: 'Image pulls that have ended, by gRPC status code.',
      labelNames: ['code'],
      registers,
    });
    this.#seconds = new Histogram({
      name: `${PREFIX}image_pull_duration_seconds`,
      help: 'Duration of successful image pulls, in seconds.',
      buckets: SECONDS,
      registers,
    });
    this.#inProgress = new Gauge({
      name: `${PREFIX}image_pulls_in_progress`,
      help: 'Image pulls in progress.',
      registers,
    });
    this.#layers = new Counter({
      name: `${PREFIX}image_pull_layers_total`,
      help: 'Layers that were to be downloaded, by result (success or failure); layers that were present are not counted.',
      labelNames: ['result'],
      registers,
    });
    this.#bytes = new Counter({
      name: `${PREFIX}image_pull_bytes_total`,
      help: 'Bytes of layers received from registries, also of downloads that failed later.',
      registers,
    });
    this.#rate = new Histogram({
      name: `${PREFIX}image_pull_throughput_bytes_per_second`,
      help: 'Throughput of the download of each layer, in bytes a second.',
      buckets: RATES,
      registers,
    });
  }

  /** Runs a pull, and counts it. @throws what `work` throws. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    const begun = performance.now();
    this.#inProgress.inc();
    try {
      const value = await work();
      this.#pulls.inc({ code: 'OK' });
      this.#seconds.observe((performance.now() - begun) / 1000);
      return value;
    } catch (error) {
      this.#pulls.inc({ code: codeName(statusCodeOf(error)) });
      throw error;
    } finally {
      this.#inProgress.dec();
    }
  }

  /** `blobs`, with the layers that it receives counted. */
  observed(blobs: BlobStaging): BlobStaging {
    return {
      receive: async (digest, open, signal, counted) => {
        const begun = performance.now();
        let received = 0;
        let result = 'failure';
        try {
          const path = await blobs.receive(digest, open, signal, (bytes) => {
            received += bytes;
            this.#bytes.inc(bytes);
            counted?.(bytes);
          });
          result = 'success';
          this.#rate.observe((received * 1000) / Math.max(performance.now() - begun, 1));
          return path;
        } finally {
          this.#layers.inc({ result });
        }
      },
      discard: (path) => blobs.discard(path),
      clear: () => blobs.clear(),
    };
  }
}
