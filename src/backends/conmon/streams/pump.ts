import { setTimeout as sleep } from 'node:timers/promises';
import type { Readable, Writable } from 'node:stream';

/**
 * Copies `source` to `sink` and leaves `sink` open. A slow sink blocks the source; one that is absent or lost does not:
 * the rest is read and dropped.
 */
export class Pump {
  /** Resolves when the source has ended, or was destroyed. */
  readonly ended: Promise<void>;
  readonly #sink: Writable | undefined;
  #moved = 0;
  #over = false;

  constructor(source: Readable, sink: Writable | undefined) {
    this.#sink = sink;
    const usable = () => sink !== undefined && !sink.destroyed && !sink.writableEnded;
    const flow = () => {
      source.resume();
    };
    source.on('data', (chunk: Buffer) => {
      this.#moved += chunk.length;
      if (usable() && sink?.write(chunk) === false) source.pause();
    });
    source.on('error', () => undefined); // 'close' follows
    sink?.on('drain', flow);
    sink?.on('close', flow);
    this.ended = new Promise((resolve) => {
      const end = () => {
        this.#over = true;
        sink?.off('drain', flow);
        sink?.off('close', flow);
        resolve();
      };
      source.once('end', end);
      source.once('close', end);
    });
  }

  /**
   * Resolves at the end, or after `ms` milliseconds; with `follow` only after that long without data while the sink had
   * room.
   */
  async quiet(ms: number, follow: boolean): Promise<void> {
    for (let before = -1; !this.#over && (before !== this.#moved || this.#blocked);) {
      before = this.#moved;
      const given = new AbortController();
      await Promise.race([this.ended, sleep(ms, undefined, { signal: given.signal }).catch(() => undefined)]);
      given.abort();
      if (!follow) return;
    }
  }

  get #blocked(): boolean {
    return this.#sink?.writableNeedDrain === true && !this.#sink.destroyed;
  }
}

/** Forwards a client's input to a command, and its end. Input that the command does not read is dropped. */
export function feed(source: Readable | undefined, sink: Writable): void {
  const drop = () => {
    source?.unpipe(sink);
    source?.resume();
  };
  sink.on('error', drop);
  sink.on('close', drop);
  if (source === undefined || source.destroyed) {
    sink.end();
    return;
  }
  source.once('close', () => {
    if (!sink.writableEnded) sink.end();
  });
  source.pipe(sink);
}
