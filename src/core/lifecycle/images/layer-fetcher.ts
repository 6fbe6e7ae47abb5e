import type { Readable } from 'node:stream';
import { CorruptTransferError } from '../../model/image.ts';
import type { BlobStaging } from '../../model/image-files.ts';
import { Semaphore } from './semaphore.ts';

/** Opens a layer's bytes; fails when they do not match its digest and size. */
export type OpenLayer = (signal: AbortSignal) => Promise<Readable>;

/** A lease on a fetched layer. The file exists until all leases are released. */
export interface LayerLease {
  /** Resolves with the path of the complete, verified blob. */
  file: Promise<string>;
  /** Bytes fetched so far, by whichever pull fetches the layer; undefined while it waits for a slot. */
  received(): number | undefined;
  /** Releases the lease; the last release cancels a running fetch and removes the file. */
  release(): Promise<void>;
}

interface Flight {
  file: Promise<string>;
  /** Starts the fetch unless it is running; settles with it. */
  begin: () => Promise<unknown>;
  received: number | undefined;
  claims: number;
  abort: AbortController;
  failed: boolean;
}

/** Fetches compressed layers into staging files, each digest only once for all concurrent pulls. */
export class LayerFetcher {
  readonly #blobs: BlobStaging;
  readonly #concurrency: number;
  readonly #flights = new Map<string, Flight>();

  /** @param concurrency layers fetched at once by one pull. */
  constructor(blobs: BlobStaging, concurrency: number) {
    this.#blobs = blobs;
    this.#concurrency = concurrency;
  }

  /** The slots of one pull, so that a slow pull does not use those of others. */
  slots(): Semaphore {
    return new Semaphore(this.#concurrency);
  }

  /** Leases the layer and fetches it when the pull has a free slot, unless another pull does already. */
  lease(digest: string, open: OpenLayer, slots: Semaphore): LayerLease {
    const flight = this.#join(digest, open, slots);
    let file = flight.file;
    let current = flight;
    let held = true;
    if (flight.claims > 1) {
      // Another pull's fetch can fail for its own reasons (credentials, deadline): then retry it here.
      file = flight.file.catch((error: unknown) => {
        if (!held) throw error;
        current = this.#join(digest, open, slots);
        return this.#release(digest, flight).then(() => current.file);
      });
    }
    file.catch(() => undefined);
    return {
      file,
      received: () => current.received,
      release: async () => {
        if (!held) return;
        held = false;
        await this.#release(digest, current);
      },
    };
  }

  #join(digest: string, open: OpenLayer, slots: Semaphore): Flight {
    let flight = this.#flights.get(digest);
    if (!flight || flight.failed) {
      flight = this.#start(digest, open);
      this.#flights.set(digest, flight);
    }
    flight.claims++;
    // The first pull with a free slot starts the fetch.
    slots.run(flight.begin, flight.abort.signal).catch(() => undefined);
    return flight;
  }

  #start(digest: string, open: OpenLayer): Flight {
    const abort = new AbortController();
    const fetch = async (): Promise<string> => {
      let received = 0;
      flight.received = 0;
      try {
        return await this.#blobs.receive(
          digest,
          () => open(abort.signal),
          abort.signal,
          (bytes) => {
            flight.received = received += bytes;
          },
        );
      } catch (error) {
        // A source has a limited number of endpoints, and skips one each time.
        if (error instanceof CorruptTransferError) return fetch();
        throw error;
      }
    };
    const { promise: file, resolve, reject } = Promise.withResolvers<string>();
    let begun: Promise<string> | undefined;
    const begin = () => {
      begun ??= fetch();
      resolve(begun);
      return begun;
    };
    abort.signal.addEventListener('abort', () => {
      if (begun === undefined) reject(abort.signal.reason);
    });
    const flight: Flight = { claims: 0, abort, failed: false, file, begin, received: undefined };
    file.catch(() => {
      flight.failed = true;
    });
    return flight;
  }

  async #release(digest: string, flight: Flight): Promise<void> {
    if (--flight.claims > 0) return;
    if (this.#flights.get(digest) === flight) this.#flights.delete(digest);
    flight.abort.abort(new Error('the layer is no longer needed'));
    const path = await flight.file.catch(() => undefined);
    if (path !== undefined) await this.#blobs.discard(path);
  }
}
