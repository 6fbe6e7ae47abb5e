import { createWriteStream } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { CorruptTransferError } from '../../model/image.ts';
import { Semaphore } from './semaphore.ts';

/** Opens a layer's bytes; fails when they do not match its digest and size. */
export type OpenLayer = (signal: AbortSignal) => Promise<Readable>;

/** A claim on a fetched layer. The file is there until all claims on it are released. */
export interface LayerLease {
  /** Resolves with the path of the complete, verified blob. */
  file: Promise<string>;
  /** Gives the claim up; the last one ends a fetch under way and removes the file. */
  release(): Promise<void>;
}

interface Flight {
  file: Promise<string>;
  /** Starts the fetch when nobody has; settles with it. */
  begin: () => Promise<unknown>;
  path: string;
  claims: number;
  abort: AbortController;
  failed: boolean;
}

/** Fetches compressed layers into temporary files, each digest once at a time however many pulls want it. */
export class LayerFetcher {
  readonly #directory: string;
  readonly #concurrency: number;
  readonly #flights = new Map<string, Flight>();
  #count = 0;

  /** @param concurrency layers fetched at once by one pull. */
  constructor(directory: string, concurrency: number) {
    this.#directory = directory;
    this.#concurrency = concurrency;
  }

  /** Removes what an earlier process left. @throws the system's error when something stays, which is in nobody's way. */
  async clear(): Promise<void> {
    await rm(this.#directory, { recursive: true, force: true });
  }

  /** The slots of one pull: a slow one has only its own to fill. */
  slots(): Semaphore {
    return new Semaphore(this.#concurrency);
  }

  /** Claims the layer and fetches it when the pull has a slot free, unless someone else does already. */
  lease(digest: string, open: OpenLayer, slots: Semaphore): LayerLease {
    const flight = this.#join(digest, open, slots);
    let file = flight.file;
    let current = flight;
    let held = true;
    if (flight.claims > 1) {
      // Another pull's fetch can fail for reasons of its own (its credentials, its deadline): then try it ourselves.
      file = flight.file.catch((error: unknown) => {
        if (!held) throw error;
        current = this.#join(digest, open, slots);
        return this.#release(digest, flight).then(() => current.file);
      });
    }
    file.catch(() => undefined);
    return {
      file,
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
    // Whichever pull has a slot first begins; the end of it is told by the file.
    slots.run(flight.begin, flight.abort.signal).catch(() => undefined);
    return flight;
  }

  #start(digest: string, open: OpenLayer): Flight {
    const path = join(this.#directory, `${digest.replace(':', '-')}.${process.pid}-${this.#count++}`);
    const abort = new AbortController();
    const fetch = async (): Promise<string> => {
      await mkdir(this.#directory, { recursive: true, mode: 0o700 });
      const source = await open(abort.signal);
      try {
        await pipeline(source, createWriteStream(path, { flags: 'w', mode: 0o600 }), { signal: abort.signal });
      } catch (error) {
        // A source has only so many places, and leaves one out each time.
        if (error instanceof CorruptTransferError) return fetch();
        throw error;
      }
      return path;
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
    const flight: Flight = { path, claims: 0, abort, failed: false, file, begin };
    file.catch(() => {
      flight.failed = true;
    });
    return flight;
  }

  async #release(digest: string, flight: Flight): Promise<void> {
    if (--flight.claims > 0) return;
    if (this.#flights.get(digest) === flight) this.#flights.delete(digest);
    flight.abort.abort(new Error('nobody waits for the layer any more'));
    await flight.file.catch(() => undefined);
    await rm(flight.path, { force: true });
  }
}
