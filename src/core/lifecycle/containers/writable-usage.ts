import type { Usage } from '../../model/rootfs.ts';
import { Measurements } from '../measurements.ts';
import type { Measured, MeasurementsOptions } from '../measurements.ts';

/** A container with more inodes takes long to be measured. */
const LARGE = 10_000n;

/** The disk usage of a container, and the time of the measurement. */
export type MeasuredUsage = Measured<Usage>;

type Options = Omit<MeasurementsOptions<Usage>, 'isLarge'>;

/** The disk usage of containers, measured in the background. */
export class WritableUsage extends Measurements<Usage> {
  readonly #options: Options;

  constructor(options: Options) {
    super({ ...options, isLarge: ({ inodes }) => inodes > LARGE });
    this.#options = options;
  }

  /**
   * The total disk usage of those containers for which it is known; `at` is the oldest of their times, now without any. New
   * containers are measured in the background; the first measurements of all are waited for once.
   */
  async total(ids: readonly string[]): Promise<MeasuredUsage> {
    const { clock, onError } = this.#options;
    const known = ids.map((id) => this.latest(id));
    const one = (id: string) =>
      this.of(id).catch((error: unknown) => {
        onError(id, error);
        return undefined;
      });
    const all = known.some((each) => each !== undefined) ? known : await Promise.all(ids.map(one));
    const sum: MeasuredUsage = { bytes: 0n, inodes: 0n, at: clock.now() };
    for (const each of all) {
      if (each === undefined) continue;
      sum.bytes += each.bytes;
      sum.inodes += each.inodes;
      if (each.at < sum.at) sum.at = each.at;
    }
    return sum;
  }
}
