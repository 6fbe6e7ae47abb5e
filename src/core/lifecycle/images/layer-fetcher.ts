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
  path: string;
  claims: number;
  abort: AbortController;
  failed: boolean;
}

/** Fetches compressed layers into temporary files, each digest once at a time however many pulls want it. */
export class LayerFetcher {
  readonly #directory: string;
  readonly #slots: Semaphore;
  readonly #flights = new Map<string, Flight>();
  #count = 0;

  /** @param concurrency layers fetched at once, over all pulls. */
  constructor(directory: string, concurrency: number) {
    this.#directory = directory;
    this.#slots = new Semaphore(concurrency);
  }

  /** Removes what an earlier process left. @throws the system's error when something stays, which is in nobody's way. */
  async clear(): Promise<void> {
    await rm(this.#directory, { recursive: true, force: true });
  }

  /** Claims the layer and starts fetching it, unless someone else fetches it already. */
  lease(digest: string, open: OpenLayer): LayerLease {
    const flight = this.#join(digest, open);
    let file = flight.file;
    let current = flight;
    let held = true;
    if (flight.claims > 1) {
      // Another pull's fetch can fail for reasons of its own (its credentials, its deadline): then try it ourselves.
      file = flight.file.catch((error: unknown) => {
        if (!held) throw error;
        current = this.#join(digest, open);
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

  #join(digest: string, open: OpenLayer): Flight {
    let flight = this.#flights.get(digest);
    if (!flight || flight.failed) {
      flight = this.#start(digest, open);
      this.#flights.set(digest, flight);
    }
    flight.claims++;
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
    const flight: Flight = { path, claims: 0, abort, failed: false, file: this.#slots.run(fetch, abort.signal) };
    flight.file.catch(() => {
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
