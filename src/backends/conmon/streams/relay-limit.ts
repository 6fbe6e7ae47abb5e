import { CriError, StatusCode } from '../../../core/model/errors.ts';

/** Limits the concurrent relays of one pod: a client may request any number of ports and connections. */
export class RelayLimit {
  readonly #most: number;
  readonly #running = new Map<string, number>();

  constructor(most: number) {
    this.#most = most;
  }

  /**
   * Runs `work` as one of the pod's relays; `pod` is any key for the pod.
   * @throws CriError RESOURCE_EXHAUSTED when the limit is reached.
   */
  async run<T>(pod: string, work: () => Promise<T>): Promise<T> {
    const before = this.#running.get(pod) ?? 0;
    if (before >= this.#most) {
      const message = `the pod has ${String(before)} connections of attach, exec and port-forward, the maximum; close some of them`;
      throw new CriError(StatusCode.RESOURCE_EXHAUSTED, message);
    }
    this.#running.set(pod, before + 1);
    try {
      return await work();
    } finally {
      const left = (this.#running.get(pod) ?? 1) - 1;
      if (left > 0) this.#running.set(pod, left);
      else this.#running.delete(pod);
    }
  }
}
