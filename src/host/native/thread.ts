import { closeSync } from 'node:fs';
import type { MessagePort } from 'node:worker_threads';
import { CriError } from '../../core/model/errors.ts';
import type { StatusCode } from '../../core/model/errors.ts';
import { messageOf } from '../../utils/errors.ts';
import { native } from './helper.ts';
import type { Native, RequestOptions } from './helper.ts';
import type { StepResult } from './messages.ts';
import type { Step } from './steps.ts';

/** From a thread to the main one. `taken`: the descriptors of a started program are the thread's now. */
type Question =
  | { kind: 'run'; id: number; steps: Step[]; sideBySide: boolean }
  | { kind: 'cancel'; id: number }
  | { kind: 'taken'; id: number; index: number };

/** `pipes`: descriptors of this process, which all threads share. */
type Reply =
  | { kind: 'started'; id: number; index: number; pid: number; pipes: ReadonlyMap<number, number> }
  | { kind: 'done'; id: number; results: StepResult[] }
  | { kind: 'failed'; id: number; message: string; code: StatusCode | undefined };

/**
 * Lets a thread use this process's helper: its own helper would have to be forked off the whole process. The thread's
 * running requests end with it.
 */
export function serveThread(port: MessagePort): void {
  const running = new Map<number, AbortController>();
  const offered = new Map<string, ReadonlyMap<number, number>>();
  let isClosed = false;
  const reply = (message: Reply) => {
    port.postMessage(message);
  };
  const run = async ({ id, steps, sideBySide }: Extract<Question, { kind: 'run' }>) => {
    const controller = new AbortController();
    running.set(id, controller);
    const watched = steps.map((step, index): Step => {
      if (step.do !== 'spawn') return step;
      const started = (pid: number, pipes: ReadonlyMap<number, number>) => {
        if (isClosed) {
          closeAll(pipes);
          return;
        }
        offered.set(`${String(id)} ${String(index)}`, pipes);
        reply({ kind: 'started', id, index, pid, pipes });
      };
      return { ...step, started };
    });
    try {
      reply({ kind: 'done', id, results: await native.request(watched, { sideBySide, signal: controller.signal }) });
    } catch (error) {
      reply({
        kind: 'failed',
        id,
        message: messageOf(error),
        code: error instanceof CriError ? error.code : undefined,
      });
    } finally {
      running.delete(id);
    }
  };
  port.on('message', (question: Question) => {
    if (question.kind === 'run') void run(question);
    else if (question.kind === 'cancel') running.get(question.id)?.abort();
    else offered.delete(`${String(question.id)} ${String(question.index)}`);
  });
  port.on('close', () => {
    isClosed = true;
    for (const controller of running.values()) controller.abort();
    for (const pipes of offered.values()) closeAll(pipes);
  });
  port.unref();
}

/** The helper of the main thread, for a thread at the other end of {@link serveThread}'s port. */
export class ThreadNative implements Native {
  readonly #port: MessagePort;
  readonly #pending = new Map<number, { steps: readonly Step[]; resolve: (reply: Reply) => void }>();
  #next = 1;

  constructor(port: MessagePort) {
    this.#port = port;
    port.on('message', (reply: Reply) => {
      const pending = this.#pending.get(reply.id);
      if (reply.kind !== 'started') return pending?.resolve(reply);
      const step = pending?.steps[reply.index];
      port.postMessage({ kind: 'taken', id: reply.id, index: reply.index } satisfies Question);
      if (step?.do === 'spawn' && step.started !== undefined) step.started(reply.pid, reply.pipes);
      else closeAll(reply.pipes);
    });
    port.unref();
  }

  async request(steps: readonly Step[], { sideBySide = false, signal }: RequestOptions = {}): Promise<StepResult[]> {
    signal?.throwIfAborted();
    const id = this.#next++;
    const cancel = () => {
      this.#port.postMessage({ kind: 'cancel', id } satisfies Question);
    };
    const { promise, resolve } = Promise.withResolvers<Reply>();
    this.#pending.set(id, { steps, resolve });
    this.#port.ref();
    // Functions cannot be sent.
    const sent = steps.map((step) => (step.do === 'spawn' ? sendable(step) : step));
    this.#port.postMessage({ kind: 'run', id, steps: sent, sideBySide } satisfies Question);
    signal?.addEventListener('abort', cancel, { once: true });
    try {
      const reply = await promise;
      if (reply.kind === 'done') return reply.results.map(withBuffers);
      const { message, code } = reply as Extract<Reply, { kind: 'failed' }>;
      throw code === undefined ? new Error(message) : new CriError(code, message);
    } finally {
      signal?.removeEventListener('abort', cancel);
      this.#pending.delete(id);
      if (this.#pending.size === 0) this.#port.unref();
    }
  }
}

function closeAll(pipes: ReadonlyMap<number, number>): void {
  for (const descriptor of pipes.values()) closeSync(descriptor);
}

function sendable(step: Extract<Step, { do: 'spawn' }>): Step {
  const sent = { ...step };
  delete sent.started;
  return sent;
}

/** Buffers arrive as plain arrays of bytes. */
function withBuffers(result: StepResult): StepResult {
  const outputs = [...result.outputs].map(
    ([number, { bytes, dropped }]) =>
      [number, { bytes: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength), dropped }] as const,
  );
  return { ...result, outputs: new Map(outputs) };
}
