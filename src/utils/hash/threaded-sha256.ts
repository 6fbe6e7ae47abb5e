import { Worker } from 'node:worker_threads';
import type { HashAnswer, HashRequest } from './hash-thread.ts';

/** Bytes of one hash that may wait for the thread; more would only fill memory. */
const MOST_WAITING = 4 * 1024 * 1024;

const open = new Map<number, ThreadedSha256>();
let thread: Worker | undefined;
let lastId = 0;

/**
 * A SHA-256 of a stream of bytes, computed in a thread of its own so that a fast transfer does not hold up the event
 * loop. One thread serves all. Call `dispose` in the end, whatever happened.
 */
export class ThreadedSha256 implements Disposable {
  readonly #id = (lastId += 1);
  #waiting = 0;
  #room = Promise.withResolvers<undefined>();
  readonly #digest = Promise.withResolvers<string>();

  constructor() {
    open.set(this.#id, this);
    this.#digest.promise.catch(() => undefined);
  }

  /** Takes more bytes, which are copied; resolves when there is room for the next ones. @throws when the thread has died. */
  async update(chunk: Uint8Array): Promise<void> {
    const copy = Uint8Array.from(chunk);
    this.#waiting += copy.length;
    send({ id: this.#id, chunk: copy }, [copy.buffer]);
    while (this.#waiting > MOST_WAITING) await this.#room.promise;
  }

  /** The digest of all bytes taken, 64 hexadecimal digits. Nothing can be added afterwards. */
  hex(): Promise<string> {
    send({ id: this.#id, want: 'digest' });
    return this.#digest.promise;
  }

  [Symbol.dispose](): void {
    if (!open.delete(this.#id)) return;
    thread?.postMessage({ id: this.#id, want: 'nothing' } satisfies HashRequest);
    if (open.size === 0) thread?.unref();
  }

  /** Used by the thread's listener alone. */
  receive(answer: HashAnswer): void {
    if ('digest' in answer) {
      this.#digest.resolve(answer.digest);
      return;
    }
    this.#waiting -= answer.taken;
    this.#room.resolve(undefined);
    this.#room = Promise.withResolvers();
  }

  fail(error: Error): void {
    this.#digest.reject(error);
    this.#room.promise.catch(() => undefined);
    this.#room.reject(error);
  }
}

function send(request: HashRequest, transfer: ArrayBuffer[] = []): void {
  thread ??= start();
  // The thread keeps the process alive only while somebody waits for it.
  thread.ref();
  thread.postMessage(request, transfer);
}

function start(): Worker {
  const worker = new Worker(new URL('./hash-thread.ts', import.meta.url));
  worker.on('message', (answer: HashAnswer) => open.get(answer.id)?.receive(answer));
  const end = (error: Error) => {
    if (thread === worker) thread = undefined;
    for (const hash of open.values()) hash.fail(error);
  };
  worker.on('error', end);
  worker.on('exit', () => {
    end(new Error('the hashing thread ended'));
  });
  return worker;
}
