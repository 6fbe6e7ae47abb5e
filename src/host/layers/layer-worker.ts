// The thread that unpacks layers: runs one task at a time from its parent, until the message "abort".
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { CriError, type StatusCode } from '../../core/model/errors.ts';
import { native } from '../native/helper.ts';
import { ThreadNative } from '../native/thread.ts';
import { messageOf } from '../../utils/errors.ts';
import type { LayerFacts } from './layer-filter.ts';
import { type UnpackTask, unpackLayer } from './unpack-layer.ts';

export type WorkerRequest = { task: UnpackTask } | { abort: true };

/** The result of a task. `code`: of a CriError; `errno`: of a system error. */
export type WorkerAnswer = { facts: LayerFacts } | { message: string; code?: StatusCode; errno?: string };

/** The thread's input: a port of {@link serveThread}. */
export interface WorkerData {
  native: MessagePort;
}

native.delegate(new ThreadNative((workerData as WorkerData).native));
let abort = new AbortController();

parentPort?.on('message', (request: WorkerRequest) => {
  if ('abort' in request) {
    abort.abort(new Error('cancelled'));
    return;
  }
  abort = new AbortController();
  unpackLayer(request.task, abort.signal).then(
    (facts) => answer({ facts }),
    (error: unknown) => answer(failure(error)),
  );
});

function answer(message: WorkerAnswer): void {
  parentPort?.postMessage(message);
}

function failure(error: unknown): WorkerAnswer {
  const errno = error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
  return {
    message: messageOf(error),
    ...(error instanceof CriError && { code: error.code }),
    ...(errno !== undefined && { errno }),
  };
}
