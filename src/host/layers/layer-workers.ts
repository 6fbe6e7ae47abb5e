import { availableParallelism } from 'node:os';
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';
import { CriError, StatusCode } from '../../core/model/errors.ts';
import { serveThread } from '../native/thread.ts';
import { isErrno } from '../../utils/errors.ts';
import { THREAD_HEAP_MIB } from './bounds.ts';
import type { LayerStream } from '../../core/model/rootfs.ts';
import type { LayerFacts } from './layer-filter.ts';
import { feedLayer } from './layer-port.ts';
import type { WorkerAnswer, WorkerData, WorkerRequest } from './layer-worker.ts';
import type { UnpackTask } from './unpack-layer.ts';

/** A layer to unpack, in a file or as a stream. */
export type LayerTask = Omit<UnpackTask, 'blob'> & { blob: string | LayerStream };

/** Layers unpacked at once. */
const THREADS = Math.min(Math.max(availableParallelism() - 1, 1), 4);
/** Milliseconds that a thread without work is kept: the next layer usually follows at once. */
const IDLE_MS = 5000;

/**
 * Threads that unpack layers, so that inflating, hashing and parsing never block the server's own. A layer that needs
 * more memory than a thread has fails by itself.
 */
export class LayerWorkers {
  readonly #idle: Worker[] = [];
  readonly #waiting: (() => void)[] = [];
  #free = THREADS;

  /**
   * @throws as {@link unpackLayer}; CriError INVALID_ARGUMENT when the thread ran out of memory; what a stream of the layer failed
   *   with.
   */
  async run(task: LayerTask, signal?: AbortSignal): Promise<LayerFacts> {
    signal?.throwIfAborted();
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      signal?.throwIfAborted();
      const { blob, ...rest } = task;
      if (typeof blob === 'string') return await this.#unpack({ ...rest, blob }, signal);
      return await this.#unpackStream(rest, blob, signal);
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#free++;
    }
  }

  #start(): Worker {
    const worker = newWorker();
    // One that ends without work is only not used again.
    worker.on('error', () => undefined);
    worker.on('exit', () => {
      const at = this.#idle.indexOf(worker);
      if (at >= 0) this.#idle.splice(at, 1);
    });
    return worker;
  }

  async #unpackStream(
    task: Omit<UnpackTask, 'blob'>,
    stream: LayerStream,
    signal: AbortSignal | undefined,
  ): Promise<LayerFacts> {
    const fed = await feedLayer(stream);
    try {
      const facts = await this.#unpack({ ...task, blob: { size: stream.size, port: fed.port } }, signal);
      await fed.finish();
      return facts;
    } catch (error) {
      signal?.throwIfAborted();
      // The thread knows only that there are no more bytes.
      throw fed.close() ?? error;
    } finally {
      fed.close();
    }
  }

  async #unpack(task: UnpackTask, signal: AbortSignal | undefined): Promise<LayerFacts> {
    const worker = this.#idle.pop() ?? this.#start();
    const send = (request: WorkerRequest, transferred: MessagePort[] = []) => {
      worker.postMessage(request, transferred);
    };
    const abort = () => {
      send({ abort: true });
    };
    const { promise, resolve, reject } = Promise.withResolvers<WorkerAnswer>();
    const fail = (error: Error) => {
      reject(asOutOfMemory(error));
    };
    const exit = (code: number) => {
      reject(new Error(`the worker thread that unpacks layers exited with code ${code}`));
    };
    worker.on('message', resolve).on('error', fail).on('exit', exit);
    worker.ref();
    send({ task }, typeof task.blob === 'string' ? [] : [task.blob.port]);
    signal?.addEventListener('abort', abort, { once: true });
    let answer: WorkerAnswer;
    try {
      answer = await promise;
      this.#keep(worker);
    } catch (error) {
      await worker.terminate();
      throw error;
    } finally {
      signal?.removeEventListener('abort', abort);
      worker.off('message', resolve).off('error', fail).off('exit', exit);
    }
    if ('facts' in answer) return answer.facts;
    signal?.throwIfAborted();
    const { message, code, errno } = answer;
    throw code === undefined ? Object.assign(new Error(message), { code: errno }) : new CriError(code, message);
  }

  /** Keeps the thread for a while, without keeping the process alive. */
  #keep(worker: Worker): void {
    worker.unref();
    this.#idle.push(worker);
    setTimeout(() => {
      const at = this.#idle.indexOf(worker);
      if (at < 0) return;
      this.#idle.splice(at, 1);
      void worker.terminate();
    }, IDLE_MS).unref();
  }
}

/** The thread's program, among the sources or the files of deploy/bundle. */
const PROGRAM = new URL(import.meta.url.endsWith('.ts') ? './layer-worker.ts' : './layer-worker.js', import.meta.url);

function newWorker(): Worker {
  const { port1, port2 } = new MessageChannel();
  serveThread(port1);
  return new Worker(PROGRAM, {
    resourceLimits: { maxOldGenerationSizeMb: THREAD_HEAP_MIB },
    execArgv: [],
    workerData: { native: port2 } satisfies WorkerData,
    transferList: [port2],
  });
}

function asOutOfMemory(error: Error): Error {
  if (!isErrno(error, 'ERR_WORKER_OUT_OF_MEMORY')) return error;
  return new CriError(
    StatusCode.INVALID_ARGUMENT,
    `refused: its entries require more than ${THREAD_HEAP_MIB} MiB of memory`,
    { cause: error },
  );
}
